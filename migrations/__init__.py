"""The database schema, version by version: `python -m migrations` brings it to the head."""
