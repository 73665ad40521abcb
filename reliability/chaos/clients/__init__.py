"""The clients of a round, over HTTP and through the queue, and what they need."""
