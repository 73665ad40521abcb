"""The HTTP routes, one for each command or query."""
