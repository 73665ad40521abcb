"""Full tables beside empty ones."""
