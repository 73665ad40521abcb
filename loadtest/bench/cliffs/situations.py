"""Brings a database into the state of a sale that opens, and puts holds into it that fall due."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from loadtest.bench.growth.fill import SETTINGS
from loadtest.fixtures import UNUSABLE_PASSWORD_HASH, new_accounts
from loadtest.workload import CommandIds

Connection = Any
"""An asyncpg connection; the package is not typed."""

EARLIER_HOLDS = 50_000
CONNECT_SECONDS = 10
COMMAND_SECONDS = 120
LOOK_EVERY_SECONDS = 0.1
PATIENCE_SECONDS = 120.0
LONG_SECONDS = 3_600.0


async def connect(database_url: str) -> Connection:
    """Connect as one who fills tables; the rows are not relied on."""
    return await asyncpg.connect(
        database_url,
        timeout=CONNECT_SECONDS,
        command_timeout=COMMAND_SECONDS,
        server_settings=SETTINGS,
    )


async def make_ticket_type(connection: Connection) -> str:
    """Put a ticket type of its own on sale, and return its ID."""
    user, event, ticket_type = CommandIds().take(3)
    await connection.execute(
        "INSERT INTO booking.users (id, email, password_hash, registered_at)"
        " VALUES ($1, $2, $3, now())",
        user,
        f"{user}@letters.example",
        UNUSABLE_PASSWORD_HASH,
    )
    await connection.execute(EVENT, event, user)
    await connection.execute(TICKET_TYPE, ticket_type, event)
    return ticket_type


async def newest_ticket_type(connection: Connection) -> str:
    """Return the ID of the ticket type that the running load has put on sale last."""
    newest = "SELECT id::text FROM booking.ticket_types ORDER BY id DESC LIMIT 1"
    return str(await connection.fetchval(newest))


async def hold(connection: Connection, ticket_type: str, count: int, due_in: float) -> datetime:
    """Have so many new users hold a ticket, all until one moment; return it.

    They are inserted first and counted in one short transaction, so that buyers wait for no lock.
    """
    users = [account.user_id for account in new_accounts(count)]
    await connection.execute(USERS, users, UNUSABLE_PASSWORD_HASH)
    due_at = datetime.now(UTC) + timedelta(seconds=due_in)
    async with connection.transaction():
        await connection.execute(HOLDS, CommandIds().take(count), users, ticket_type, due_at)
        await connection.execute(
            "UPDATE booking.ticket_types SET reserved = reserved + $2 WHERE id = $1",
            ticket_type,
            count,
        )
    return due_at


async def all_free(connection: Connection, ticket_type: str, due_at: datetime) -> float:
    """Wait until no hold of this type is due any more; return the seconds since `due_at`."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        # Postgres does not announce that a hold is gone, so it is asked.
        while await _is_held(connection, ticket_type, due_at):  # noqa: ASYNC110 - see above
            await asyncio.sleep(LOOK_EVERY_SECONDS)
    return (datetime.now(UTC) - due_at).total_seconds()


async def _is_held(connection: Connection, ticket_type: str, due_at: datetime) -> bool:
    if datetime.now(UTC) < due_at:
        return True
    return bool(await connection.fetchval(DUE, ticket_type, due_at))


# --- what Postgres may believe --------------------------------------------------------------


async def as_it_is(connection: Connection) -> None:
    """Migrated, and never analyzed."""


async def analyzed_while_empty(connection: Connection) -> None:
    await connection.execute("VACUUM ANALYZE")


async def analyzed_when_all_had_expired(connection: Connection) -> None:
    ticket_type = await make_ticket_type(connection)
    due_at = await hold(connection, ticket_type, EARLIER_HOLDS, due_in=0)
    await all_free(connection, ticket_type, due_at)
    await connection.execute("VACUUM ANALYZE")


async def restored_without_statistics(connection: Connection) -> None:
    await hold(connection, await make_ticket_type(connection), EARLIER_HOLDS, LONG_SECONDS)
    await connection.execute("DELETE FROM pg_statistic")


async def emptied_by_retention(connection: Connection) -> None:
    await analyzed_when_all_had_expired(connection)
    await connection.execute("DELETE FROM booking.carts WHERE status <> 'active'")
    await connection.execute("VACUUM ANALYZE")


STATES: dict[str, Callable[[Connection], Awaitable[None]]] = {
    "a fresh database": as_it_is,
    "VACUUM ANALYZE of empty carts": analyzed_while_empty,
    "VACUUM ANALYZE after all carts have expired": analyzed_when_all_had_expired,
    "a restore without statistics": restored_without_statistics,
    "retention has emptied the carts": emptied_by_retention,
}

EVENT = """
    INSERT INTO booking.events (id, organizer_id, name, starts_at, ends_at, status)
    VALUES ($1, $2, 'An earlier concert', now() + interval '30 days',
            now() + interval '31 days', 'active')
"""
TICKET_TYPE = """
    INSERT INTO booking.ticket_types
        (id, event_id, name, total, reserved, sold, sale_starts_at, sale_ends_at)
    VALUES ($1, $2, 'Standing', 100000000, 0, 0, now() - interval '1 day',
            now() + interval '30 days')
"""
USERS = """
    INSERT INTO booking.users (id, email, password_hash, registered_at)
    SELECT id, id || '@letters.example', $2, now() FROM unnest($1::uuid[]) AS id
"""
HOLDS = """
    WITH carts AS (
        INSERT INTO booking.carts (id, user_id, status, expires_at)
        SELECT cart_id, user_id, 'active', $4
        FROM unnest($1::uuid[], $2::uuid[]) AS held (cart_id, user_id)
    )
    INSERT INTO booking.cart_items (cart_id, ticket_type_id, quantity, expires_at)
    SELECT cart_id, $3, 1, $4 FROM unnest($1::uuid[]) AS held (cart_id)
"""
DUE = """
    SELECT EXISTS (
        SELECT FROM booking.cart_items WHERE ticket_type_id = $1 AND expires_at <= $2
    )
"""
