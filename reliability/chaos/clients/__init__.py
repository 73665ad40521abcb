"""The clients of a round, over HTTP and through the queue, and their fixtures."""
