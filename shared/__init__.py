"""What gateway and worker agree on: commands, outcomes, IDs and the names of the queues."""
