"""The memory of a long run."""
