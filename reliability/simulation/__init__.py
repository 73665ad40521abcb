"""The worker under a virtual clock, with a broker and a database in memory that fail at will."""
