"""The broker, the database and the clock in memory."""
