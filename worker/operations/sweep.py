"""Expires due carts through the committer, also those that no command asks for."""

import asyncio
import logging
import random

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.committer import Committer

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
MAX_CARTS = 500
"""How many carts one round expires. After a full round the next follows without a pause."""


async def sweep(engine: AsyncEngine, committer: Committer) -> None:
    """Expire due carts, indefinitely."""
    while True:
        try:
            swept = await sweep_once(engine, committer)
        except Exception as error:
            logger.warning("the sweep is retried: %s", type(error).__name__)
            swept = 0
        if swept < MAX_CARTS:
            # With jitter: the sweeps of several workers should not coincide.
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.5, 1.0))


async def sweep_once(engine: AsyncEngine, committer: Committer) -> int:
    """Expire up to `MAX_CARTS` due carts and return their number."""
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
