"""The cases of the bench, measured in turn."""
