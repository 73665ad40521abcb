"""The conventional design as a baseline: a row lock and a transaction for each HTTP request."""
