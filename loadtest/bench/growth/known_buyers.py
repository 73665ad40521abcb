"""Draws buyers who have been there before from all users."""

import asyncpg

from loadtest.fixtures import Account
from loadtest.queue.client import PreparationError

CONNECT_SECONDS = 10
KNOWN = "SELECT id::text, email FROM booking.users ORDER BY random() LIMIT $1"


async def known_buyers(database_url: str | None, count: int) -> list[Account]:
    """Return so many users, or all if there are fewer. Raises `PreparationError`."""
    if database_url is None:
        raise PreparationError("Only the database knows who has been there before.")
    connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS)
    try:
        return [Account(*row) for row in await connection.fetch(KNOWN, count)]
    finally:
        await connection.close()
