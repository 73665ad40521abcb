"""Publishes commands to the broker and receives the workers' replies."""
