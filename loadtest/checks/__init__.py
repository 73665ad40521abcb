"""Compares the responses that clients got with what the system has recorded."""
