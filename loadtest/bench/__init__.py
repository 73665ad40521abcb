"""Holdfast beside one transaction a reservation, on one machine and in turn."""
