"""When requests are sent, and what is counted and timed."""
