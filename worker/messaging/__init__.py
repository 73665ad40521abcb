"""Consumes command messages, sends replies and acknowledgements, declares queues."""
