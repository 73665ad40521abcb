"""The clients of a run, and the commands they send."""
