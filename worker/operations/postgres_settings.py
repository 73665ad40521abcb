"""Warns of settings of Postgres that put commits at risk or slow a sale down."""

import asyncio
import logging
from collections.abc import Iterator
from typing import cast

from sqlalchemy import QueuePool, RowMapping, text
from sqlalchemy.ext.asyncio import AsyncEngine

from worker import faults

logger = logging.getLogger(__name__)

RETRY_SECONDS = 5.0
SMALLEST_MAX_WAL_SIZE_MB = 1_024
"""Postgres's default."""


async def warn_of_settings(engine: AsyncEngine) -> None:
    """Log a warning for each such setting, as soon as Postgres can be asked."""
    while True:
        try:
            warnings = await settings_warnings(engine)
        except Exception as error:
            logger.warning("checking Postgres's settings is retried: %s", faults.first_line(error))
            await asyncio.sleep(RETRY_SECONDS)
        else:
            for warning in warnings:
                logger.warning("Postgres: %s", warning)
            return


async def settings_warnings(engine: AsyncEngine) -> list[str]:
    """Return a sentence for each such setting, as a connection of this engine sees it."""
    async with engine.connect() as connection:
        settings = (await connection.execute(SETTINGS)).mappings().one()
        pool = cast("QueuePool", engine.pool)
        return list(_warnings(settings, pool.size() - pool.checkedin() - pool.checkedout()))


def _warnings(settings: RowMapping, more_connections: int) -> Iterator[str]:
    if settings["fsync"] == "off":
        yield "fsync is off: a power failure destroys the database"
    if settings["full_page_writes"] == "off":
        yield "full_page_writes is off: a power failure may destroy pages of the database"
    if settings["synchronous_commit"] == "off":
        yield (
            "synchronous_commit is off although each connection of a worker sets it, as when a"
            " connection pooler drops settings: a crash loses answered commands"
        )
    if settings["autovacuum"] == "off":
        yield "autovacuum is off: tables grow and every command becomes slower"
    if settings["max_wal_size_mb"] < SMALLEST_MAX_WAL_SIZE_MB:
        yield (
            f"max_wal_size is {settings['max_wal_size_mb']} MB: a sale causes checkpoints in quick"
            f" succession; at least {SMALLEST_MAX_WAL_SIZE_MB} MB is advised"
        )
    if settings["free_connections"] < more_connections:
        yield (
            f"max_connections is {settings['max_connections']} and leaves"
            f" {max(settings['free_connections'], 0)} free connections: this worker may need"
            f" {more_connections} more"
        )


# Reserved connections are for administrators; `reserved_connections` is new in PostgreSQL 16.
SETTINGS = text("""
    SELECT current_setting('fsync') AS fsync,
           current_setting('full_page_writes') AS full_page_writes,
           current_setting('synchronous_commit') AS synchronous_commit,
           current_setting('autovacuum') AS autovacuum,
           pg_size_bytes(current_setting('max_wal_size')) / 1048576 AS max_wal_size_mb,
           current_setting('max_connections')::int AS max_connections,
           current_setting('max_connections')::int
               - current_setting('superuser_reserved_connections')::int
               - coalesce(current_setting('reserved_connections', true)::int, 0)
               - (SELECT sum(numbackends) FROM pg_stat_database)::int AS free_connections
""")
