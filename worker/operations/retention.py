"""Deletes carts that were closed long ago: a few hundred at a time, at rest most of the time."""

import asyncio
import logging
import random
import time
from datetime import UTC, datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.ids import first_id_at
from worker.storage.driver import transaction
from worker.telemetry import CARTS_DELETED

logger = logging.getLogger(__name__)

MAX_CARTS = 200
"""How many carts one transaction deletes."""
PAUSES_PER_BATCH = 9
"""How many times as long as a batch took the job then rests: it uses a tenth of one connection,
and less of Postgres the slower that is."""
MIN_PAUSE_SECONDS = 0.05

INTERVAL_SECONDS = 3_600.0
RETRY_SECONDS = 60.0

FIRST_ID = "00000000-0000-0000-0000-000000000000"


async def delete_closed_carts_forever(engine: AsyncEngine, retention: timedelta) -> None:
    """Delete what is past `retention`, every hour. After a fault, try again within a minute."""
    while True:
        pause_seconds = INTERVAL_SECONDS
        try:
            await delete_closed_carts(engine, datetime.now(UTC) - retention)
        except Exception as error:
            logger.warning("the deletion of old carts is tried again: %s", type(error).__name__)
            pause_seconds = RETRY_SECONDS
        # Never in step with other workers.
        await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))


async def delete_closed_carts(engine: AsyncEngine, before: datetime) -> int:
    """Delete the closed carts, with their lines, whose hold would have been over at `before`.

    Each batch is a transaction: what is left after a fault is found by the next run. Return how
    many carts were deleted.
    """
    deleted, last_id = 0, FIRST_ID
    while True:
        started = time.monotonic()
        ids = await delete_batch(engine, before, last_id)
        deleted += len(ids)
        CARTS_DELETED.inc(len(ids))
        if len(ids) < MAX_CARTS:
            return deleted
        last_id = max(ids)
        seconds = time.monotonic() - started
        await asyncio.sleep(max(MIN_PAUSE_SECONDS, PAUSES_PER_BATCH * seconds))


async def delete_batch(engine: AsyncEngine, before: datetime, last_id: str) -> list[str]:
    """Delete up to `MAX_CARTS` carts in one transaction, those after `last_id`; return their IDs.

    Carts that another worker is deleting are left to it.
    """
    first_kept_id = f"{first_id_at(int(before.timestamp() * 1000))}-0000-0000-000000000000"
    async with transaction(engine) as driver:
        rows = await driver.fetch(DELETE_CLOSED_CARTS, last_id, first_kept_id, before, MAX_CARTS)
    return [row[0] for row in rows]


# A cart's ID carries the time of the command that opened it. Its order is that of the primary
# key, so the oldest carts are found without an index of their own. $1: the last ID of the batch
# before: the entries of what it deleted are not read again. $2: the first ID that is too young.
# $3: the instant before which a hold must have ended. $4: how many carts to delete.
DELETE_CLOSED_CARTS = """
    WITH closed AS MATERIALIZED (
        SELECT id FROM booking.carts
        WHERE id > $1::uuid AND id < $2::uuid AND status <> 'active' AND expires_at < $3
        ORDER BY id
        LIMIT $4
        FOR UPDATE SKIP LOCKED
    )
    DELETE FROM booking.carts WHERE id = ANY (ARRAY(SELECT id FROM closed))
    RETURNING id::text
"""
