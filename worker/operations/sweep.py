"""Hands due carts to the committer: no hold waits for its owner to come back."""

import asyncio
import logging
import random

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.committer import Committer

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
MAX_CARTS = 500
"""How many carts one round hands over; a full round is followed by the next at once."""


async def sweep(engine: AsyncEngine, committer: Committer) -> None:
    """Expire due carts, for ever."""
    while True:
        try:
            swept = await sweep_once(engine, committer)
        except Exception as error:
            logger.warning("the sweep is tried again: %s", type(error).__name__)
            swept = 0
        if swept < MAX_CARTS:
            # Never in step with the sweeps of other workers.
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.5, 1.0))


async def sweep_once(engine: AsyncEngine, committer: Committer) -> int:
    """Expire up to `MAX_CARTS` due carts and return how many there were."""
    async with engine.connect() as connection:
        due = (await connection.execute(DUE_USERS, {"limit": MAX_CARTS})).scalars().all()
    if due:
        await committer.submit((), due)
    return len(due)


DUE_USERS = text("""
    SELECT user_id::text FROM booking.carts
    WHERE status = 'active' AND expires_at <= statement_timestamp()
    ORDER BY expires_at
    LIMIT :limit
""")
