"""The invariants, and what they are checked against: the record, the database, the clock."""
