"""Who sends a request: tokens, passwords, and the limits on guessing them."""
