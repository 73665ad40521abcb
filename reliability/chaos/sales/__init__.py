"""Buyers who check out and pay, their ledger of money, and its comparison with the tables."""
