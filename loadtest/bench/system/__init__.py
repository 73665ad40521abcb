"""The processes under measurement, and what they cost."""
