"""One thin route for each command or query."""
