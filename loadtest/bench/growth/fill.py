"""Fills a database as millions of commands would have left it, with set-based SQL."""

import time
from contextlib import suppress
from dataclasses import dataclass

import asyncpg

from loadtest.fixtures import UNUSABLE_PASSWORD_HASH
from loadtest.progress import Progress

CHUNK_ROWS = 250_000
SPAN_US = 23 * 3_600 * 1_000_000
"""IDs are spread over 23 hours: within the day in which a command's ID is accepted."""
EVENTS, TICKET_TYPES = 100, 1_000
TABLES = tuple(
    f"booking.{name}"
    for name in (
        "users",
        "events",
        "ticket_types",
        "carts",
        "cart_items",
        "orders",
        "order_items",
        "payments",
        "refunds",
        "outcomes",
    )
)
CONNECT_SECONDS = 10
SETTINGS = {
    "application_name": "holdfast bench",
    "timezone": "UTC",
    "jit": "off",
    # Of this connection alone: no client relies on these rows.
    "synchronous_commit": "off",
}


@dataclass(frozen=True, slots=True)
class Amounts:
    """What is in the tables when they are full."""

    outcomes: int = 10_000_000
    users: int = 1_000_000
    carts: int = 1_000_000
    """Active ones, each of another user."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What filling took, and what it made."""

    seconds: float
    outcomes_per_second: float
    database_bytes: int


async def fill(database_url: str, amounts: Amounts, *, quiet: bool = False) -> Filled:
    """Fill a migrated database, whatever is in it, and leave it as autovacuum would have."""
    connection = await asyncpg.connect(
        database_url, timeout=CONNECT_SECONDS, server_settings=SETTINGS
    )
    progress = Progress(quiet=quiet)
    try:
        started = time.monotonic()
        await connection.execute(f"TRUNCATE {', '.join(TABLES)}")
        await connection.execute(_functions(amounts))
        await _insert(progress, connection, "users", amounts.users, USERS, UNUSABLE_PASSWORD_HASH)
        await _insert(progress, connection, "events", EVENTS, EVENTS_ON_SALE, amounts.users)
        await _insert(progress, connection, "ticket types", TICKET_TYPES, TYPES_ON_SALE)
        await _insert(progress, connection, "carts", amounts.carts, CARTS)
        await _insert(progress, connection, "carts with lines", amounts.carts, LINES)
        await connection.execute(HOLD)
        pace = await _insert(
            progress, connection, "outcomes", amounts.outcomes, OUTCOMES, amounts.users
        )
        for table in TABLES:
            progress.say(f"vacuuming {table}")
            await connection.execute(f"VACUUM (ANALYZE) {table}")
        size = await connection.fetchval("SELECT pg_database_size(current_database())")
        return Filled(time.monotonic() - started, pace, size)
    finally:
        await connection.close()


async def _insert(
    progress: Progress,
    connection: asyncpg.Connection,
    what: str,
    rows: int,
    statement: str,
    *values: object,
) -> float:
    """Insert in chunks, saying how far it has come; return the rows a second."""
    started = time.monotonic()
    pace = 0.0
    for first in range(0, rows, CHUNK_ROWS):
        done = min(first + CHUNK_ROWS, rows)
        await connection.execute(statement, first, done - 1, *values)
        pace = done / (time.monotonic() - started)
        progress.say(
            f"filling {what}: {done:,} of {rows:,}   {pace:,.0f}/s"
            f"   {(rows - done) / pace:,.0f} s left"
        )
    return pace


async def checkpoint(database_url: str) -> None:
    """Write out what filling has changed: it would be written during the measurements."""
    connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS)
    try:
        with suppress(asyncpg.InsufficientPrivilegeError):
            await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


def _functions(amounts: Amounts) -> str:
    """Return the functions that number what is made: number n of a kind has always one ID."""
    rows = {
        "user": amounts.users,
        "event": EVENTS,
        "ticket_type": TICKET_TYPES,
        "cart": amounts.carts,
        "command": amounts.outcomes,
    }
    first_ms = time.time_ns() // 1_000_000 - SPAN_US // 1_000
    parts = []
    for kind, of in rows.items():
        at_ms = f"({first_ms} + number * {SPAN_US // of} / 1000)"
        parts.append(MOMENT.format(kind=kind, at_ms=at_ms) + ID.format(kind=kind, at_ms=at_ms))
    return "".join(parts)


MOMENT = """
    CREATE FUNCTION pg_temp.{kind}_at(number bigint) RETURNS timestamptz
    LANGUAGE sql IMMUTABLE AS $$ SELECT to_timestamp({at_ms} / 1000.0) $$;
"""
# A UUIDv7: milliseconds, version, digits that look random, variant, more of them. Only of
# immutable parts, casts instead of `||` on numbers, or else Postgres does not inline it.
ID = """
    CREATE FUNCTION pg_temp.{kind}_id(number bigint) RETURNS uuid
    LANGUAGE sql IMMUTABLE AS $$
        SELECT CAST(overlay(overlay(md5('{kind}' || CAST(number AS text))
            PLACING '0' || to_hex({at_ms}) || '7' FROM 1 FOR 13)
            PLACING '8' FROM 17 FOR 1) AS uuid)
    $$;
"""
WRITTEN = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
NUMBERS = "generate_series(CAST($1 AS bigint), CAST($2 AS bigint)) AS n"

USERS = f"""
    INSERT INTO booking.users (id, email, password_hash, registered_at)
    SELECT pg_temp.user_id(n),
           (ARRAY['ada', 'alan', 'barbara', 'donald', 'edsger', 'frances', 'grace'])[1 + n % 7]
           || '.' || (ARRAY['allen', 'dijkstra', 'hopper', 'knuth', 'turing'])[1 + n % 5]
           || '.' || n || (ARRAY['@mail', '@post', '@letters'])[1 + n % 3] || '.example',
           CAST($3 AS text), pg_temp.user_at(n)
    FROM {NUMBERS}
"""
EVENTS_ON_SALE = f"""
    INSERT INTO booking.events (id, organizer_id, name, starts_at, ends_at, status)
    SELECT pg_temp.event_id(n), pg_temp.user_id(n % CAST($3 AS bigint)), 'Concert ' || n,
           now() + interval '30 days', now() + interval '30 days 4 hours', 'active'
    FROM {NUMBERS}
"""
TYPES_ON_SALE = f"""
    INSERT INTO booking.ticket_types
        (id, event_id, name, total, reserved, sold, sale_starts_at, sale_ends_at)
    SELECT pg_temp.ticket_type_id(n), pg_temp.event_id(n % {EVENTS}), 'Category ' || n,
           100000000, 0, 0, now() - interval '1 day', now() + interval '30 days'
    FROM {NUMBERS}
"""
# They expire long after the bench, so that no sweep takes part in it.
CARTS = f"""
    INSERT INTO booking.carts (id, user_id, status, expires_at)
    SELECT pg_temp.cart_id(n), pg_temp.user_id(n), 'active',
           pg_temp.cart_at(n) + interval '30 days'
    FROM {NUMBERS}
"""
# One line or two.
LINES = f"""
    INSERT INTO booking.cart_items (cart_id, ticket_type_id, quantity, expires_at)
    SELECT pg_temp.cart_id(n), pg_temp.ticket_type_id((n + line) % {TICKET_TYPES}), 1 + n % 4,
           pg_temp.cart_at(n) + interval '30 days'
    FROM {NUMBERS}, generate_series(0, n % 2) AS line
"""
HOLD = """
    UPDATE booking.ticket_types AS ticket_type SET reserved = held.quantity
    FROM (SELECT ticket_type_id, sum(quantity) AS quantity
          FROM booking.cart_items GROUP BY ticket_type_id) AS held
    WHERE ticket_type.id = held.ticket_type_id
"""
# OFFSET 0 keeps Postgres from computing each ID and each time once for every mention.
OUTCOMES = f"""
    INSERT INTO booking.outcomes (command_id, user_id, fingerprint, document, decided_at)
    SELECT command_id, pg_temp.user_id(n % CAST($3 AS bigint)), decode(md5(CAST(n AS text)), 'hex'),
           format(
               '{{"command_id":"%s","kind":"reserve_tickets","status":"succeeded",'
               '"submitted_at":"%s","decided_at":"%s","result":{{"cart":{{"id":"%s",'
               '"status":"active","expires_at":"%s","items":[{{"ticket_type_id":"%s",'
               '"event_id":"%s","quantity":%s}}]}}}},"refusal":null}}',
               command_id, written, written, pg_temp.cart_id(n % CAST($3 AS bigint)),
               to_char(at + interval '10 minutes', {WRITTEN}),
               pg_temp.ticket_type_id(n % {TICKET_TYPES}),
               pg_temp.event_id(n % {TICKET_TYPES} % {EVENTS}), 1 + n % 4),
           at
    FROM (SELECT n, pg_temp.command_id(n) AS command_id, pg_temp.command_at(n) AS at,
                 to_char(pg_temp.command_at(n), {WRITTEN}) AS written
          FROM {NUMBERS} OFFSET 0) AS decided
"""
