"""Identifies the sender of a request: tokens, passwords, and bounds on guessing them."""
