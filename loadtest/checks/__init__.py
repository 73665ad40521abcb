"""Compares what the clients were told with what the system has recorded."""
