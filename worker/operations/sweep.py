"""Ends due holds through the committer, also those in no command's way."""

import asyncio
import logging
import random

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.committer import Committer
from worker.domain.locks import Due

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
MAX_HOLDS = 500
"""How many lines of due carts one round finds, and how many due orders. After a full round the next
follows at once."""


async def sweep(engine: AsyncEngine, committer: Committer) -> None:
    """End due holds, indefinitely."""
    while True:
        try:
            found = await sweep_once(engine, committer)
        except Exception as error:
            logger.warning("the sweep is retried: %s", type(error).__name__)
            found = 0
        if found < MAX_HOLDS:
            # With jitter: the sweeps of several workers should not coincide.
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.5, 1.0))


async def sweep_once(engine: AsyncEngine, committer: Committer) -> int:
    """End up to `MAX_HOLDS` due orders, and the carts of as many due lines; return their number."""
    async with engine.connect() as connection:
        rows = await connection.execute(DUE_HOLDS, {"limit": MAX_HOLDS})
        due = [Due(*row) for row in rows.all()]
    if due:
        await committer.submit((), list(set(due)))
    return len(due)


# Finds each ticket type that any cart holds by one look-up in the index of due carts, and the due
# carts of each by another. PostgreSQL 17 drops `IS NOT NULL` where it is always true, and then does
# not use the index that has this condition: `> '-infinity'` implies it too.
DUE_HOLDS = text("""
    WITH RECURSIVE held (ticket_type_id) AS (
        VALUES ('00000000-0000-0000-0000-000000000000'::uuid)  -- before all others
        UNION ALL
        SELECT (
            SELECT line.ticket_type_id FROM booking.cart_items AS line
            WHERE line.ticket_type_id > held.ticket_type_id AND line.expires_at > '-infinity'
            ORDER BY line.ticket_type_id, line.expires_at LIMIT 1
        )
        FROM held WHERE held.ticket_type_id IS NOT NULL
    )
    SELECT cart.user_id::text, NULL AS order_id
    FROM (
        SELECT line.cart_id
        FROM held
        CROSS JOIN LATERAL (
            SELECT cart_id FROM booking.cart_items
            WHERE ticket_type_id = held.ticket_type_id AND expires_at <= statement_timestamp()
            ORDER BY expires_at
            LIMIT :limit
        ) AS line
        LIMIT :limit
    ) AS line
    CROSS JOIN LATERAL (
        SELECT user_id FROM booking.carts WHERE id = line.cart_id OFFSET 0
    ) AS cart
    UNION ALL
    (SELECT user_id::text, id::text FROM booking.orders
     WHERE held_until <= statement_timestamp()
     ORDER BY held_until
     LIMIT :limit)
""")
