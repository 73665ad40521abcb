"""What orders cost: check-outs and payments through the queue, and the cancelling of an event."""
