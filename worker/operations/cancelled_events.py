"""Cancels the orders of cancelled events through the committer, some hundreds at a time."""

import asyncio
import logging
import random

from sqlalchemy.ext.asyncio import AsyncEngine

from worker.committer import Committer
from worker.domain.locks import Due
from worker.storage.driver import transaction

logger = logging.getLogger(__name__)

MAX_ORDERS = 500
"""How many orders one transaction cancels."""
PAUSES_PER_ROUND = 1
"""How many times as long as a round took it then rests, so that other events go on selling."""
INTERVAL_SECONDS = 1.0


async def cancel_orders(engine: AsyncEngine, committer: Committer) -> None:
    """Cancel the orders of cancelled events, indefinitely."""
    clock = asyncio.get_running_loop().time
    while True:
        started = clock()
        try:
            cancelled = await cancel_some(engine, committer)
        except Exception as error:
            logger.warning(
                "cancelling the orders of cancelled events is retried: %s", type(error).__name__
            )
            cancelled = 0
        if cancelled:
            await asyncio.sleep(PAUSES_PER_ROUND * (clock() - started))
        else:
            # With jitter: several workers should not take the same orders at the same time.
            await asyncio.sleep(INTERVAL_SECONDS * random.uniform(0.5, 1.0))


async def cancel_some(engine: AsyncEngine, committer: Committer) -> int:
    """Cancel up to `MAX_ORDERS` orders of cancelled events; return their number.

    An event without such orders is marked, and not looked at again: its orders stay cancelled.
    """
    async with transaction(engine) as driver:
        rows = await driver.fetch(ORDERS_TO_CANCEL, MAX_ORDERS)
        if not rows:
            await driver.fetch(MARK_EVENTS)
    if rows:
        await committer.submit((), [Due(*row) for row in rows])
    return len(rows)


# A look-up for each event by the index of events and states, whatever the planner knows of it:
# `created_at > '-infinity'` is the condition of that index.
ORDERS_TO_CANCEL = """
    SELECT purchase.user_id::text, purchase.id::text
    FROM booking.events AS event
    CROSS JOIN LATERAL (
        SELECT user_id, id FROM booking.orders
        WHERE orders.event_id = event.id AND orders.status IN ('pending_payment', 'paid')
          AND orders.created_at > '-infinity'
        LIMIT $1
    ) AS purchase
    WHERE event.status = 'cancelled' AND NOT event.orders_cancelled
    LIMIT $1
"""

# A cancelled event gets no pending or paid order any more: who cancels it locks its ticket types.
MARK_EVENTS = """
    UPDATE booking.events SET orders_cancelled = true
    WHERE id = ANY (ARRAY(
        SELECT event.id
        FROM booking.events AS event
        LEFT JOIN LATERAL (
            SELECT orders.id FROM booking.orders
            WHERE orders.event_id = event.id AND orders.status IN ('pending_payment', 'paid')
              AND orders.created_at > '-infinity'
            LIMIT 1
        ) AS purchase ON true
        WHERE event.status = 'cancelled' AND NOT event.orders_cancelled AND purchase.id IS NULL
    ))
"""
