"""The invariants, and the data for checking them: client records, the database, the clock."""
