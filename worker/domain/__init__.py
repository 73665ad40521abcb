"""The rules of the box office, pure: no I/O, no clock, no random IDs."""
