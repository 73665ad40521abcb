"""Situations in which the rate may fall: what Postgres believes of empty tables, and due holds."""
