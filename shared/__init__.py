"""What gateway and worker share: commands, outcomes, IDs and the names of the queues."""
