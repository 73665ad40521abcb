"""Offers a deployment far more load than its capacity, and measures the goodput."""
