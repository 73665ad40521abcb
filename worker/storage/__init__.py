"""The book in Postgres: the schema, and the set-based statements that lock, read and save it."""
