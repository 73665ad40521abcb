"""Background work of a worker: the sweep of expired carts, outcome partitions, health checks."""
