"""Load through the queue."""
