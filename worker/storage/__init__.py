"""The book in Postgres: the schema, and set-based statements that lock, read and save it."""
