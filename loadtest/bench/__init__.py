"""Measures Holdfast beside one transaction for each reservation, on one machine, in turn."""
