"""The ordinary design to compare with: a row lock and a transaction for each HTTP request."""
