"""Background work of a worker: sweep, outcome partitions, retention of carts, health checks."""
