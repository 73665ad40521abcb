"""Checks the books of a live system: `python -m worker.audit`."""
