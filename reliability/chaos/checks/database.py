"""Reads the tables on connections that bypass the proxies."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import asyncpg

from reliability.chaos.sales.ledger import SaleTables
from worker.audit.snapshot import SNAPSHOT_ERRORS, Report, audit, connect

CONNECT_SECONDS = 5
COMMAND_SECONDS = 60
MAX_CONNECTIONS = 4

OUTCOMES = """
    SELECT command_id::text, document FROM booking.outcomes WHERE command_id = ANY ($1::uuid[])
"""
OUTCOMES_OF_USERS = """
    SELECT command_id::text FROM booking.outcomes WHERE user_id = ANY ($1::uuid[])
"""
CARTS = """
    SELECT cart.user_id::text, cart.id::text, cart.expires_at, line.ticket_type_id::text,
           line.quantity, statement_timestamp()
    FROM booking.carts AS cart JOIN booking.cart_items AS line ON line.cart_id = cart.id
    WHERE cart.status = 'active' AND cart.expires_at > statement_timestamp()
      AND cart.user_id = ANY ($1::uuid[])
"""
ORDERS = """
    SELECT id::text, status, total, paid, refunded FROM booking.orders WHERE event_id = $1
"""
PAYMENTS = """
    SELECT payment_id, order_id::text, amount, disposition FROM booking.payments WHERE event_id = $1
"""
REFUNDS = "SELECT refund_id, order_id::text, amount FROM booking.refunds WHERE event_id = $1"
TICKET_TYPES = "SELECT id::text, sold, reserved FROM booking.ticket_types WHERE event_id = $1"
HELD = """
    SELECT ticket_type_id::text, sum(quantity)::bigint
    FROM (
        SELECT line.ticket_type_id, line.quantity
        FROM booking.carts AS cart JOIN booking.cart_items AS line ON line.cart_id = cart.id
        WHERE cart.status = 'active'
        UNION ALL
        SELECT item.ticket_type_id, item.quantity
        FROM booking.orders AS purchase JOIN booking.order_items AS item ON order_id = purchase.id
        WHERE purchase.status = 'pending_payment'
    ) AS hold
    JOIN booking.ticket_types ON ticket_types.id = ticket_type_id
    WHERE event_id = $1
    GROUP BY ticket_type_id
"""
SESSIONS = """
    SELECT pid, application_name, coalesce(state, '') AS state,
           extract(epoch FROM clock_timestamp() - state_change)::float AS seconds
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND backend_type = 'client backend'
"""
DEADLOCKS = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
TERMINATE = """
    SELECT count(pg_terminate_backend(pid)) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND application_name = 'holdfast worker'
        ORDER BY (wait_event_type = 'Lock') DESC NULLS LAST, (state = 'active') DESC
        LIMIT $1
    ) AS chosen
"""


@dataclass(frozen=True, slots=True)
class HeldCart:
    """An active cart whose hold is not over."""

    id: str
    expires_at: datetime
    lines: dict[str, int]


@dataclass(frozen=True, slots=True)
class Session:
    pid: int
    application: str
    state: str
    seconds: float
    """How long it has been in this state."""


class Database:
    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._pool: Any = None
        self._auditor: Any = None
        self._auditing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(
            self._url,
            min_size=0,
            max_size=MAX_CONNECTIONS,
            timeout=CONNECT_SECONDS,
            command_timeout=COMMAND_SECONDS,
            server_settings={"application_name": "chaos"},
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.terminate()
        if self._auditor is not None:
            self._auditor.terminate()

    async def audit(self) -> Report:
        """Audit the database once. Raises one of `SNAPSHOT_ERRORS`."""
        async with self._auditing:
            if self._auditor is None or self._auditor.is_closed():
                self._auditor = await connect(self._url)
            try:
                return await audit(self._auditor)
            except SNAPSHOT_ERRORS:
                self._auditor.terminate()
                raise

    async def documents(self, command_ids: list[str]) -> dict[str, str]:
        """The recorded outcomes, byte for byte."""
        return dict(await self._pool.fetch(OUTCOMES, command_ids))

    async def documents_or_none(self, command_ids: list[str]) -> dict[str, str]:
        """The same; none where Postgres is away."""
        with suppress(*SNAPSHOT_ERRORS):
            return await self.documents(command_ids)
        return {}

    async def recorded_by(self, user_ids: list[str]) -> set[str]:
        """The IDs of all outcomes that are recorded for these users."""
        return {row[0] for row in await self._pool.fetch(OUTCOMES_OF_USERS, user_ids)}

    async def carts(self, user_ids: list[str]) -> tuple[datetime, dict[str, HeldCart]]:
        """The clock, and each user's holds at that instant."""
        carts: dict[str, HeldCart] = {}
        async with self._pool.acquire() as connection, connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            rows = await connection.fetch(CARTS, user_ids)
            now = rows[0][5] if rows else await connection.fetchval("SELECT now()")
        for user_id, cart_id, expires_at, ticket_type_id, quantity, _ in rows:
            cart = carts.setdefault(user_id, HeldCart(cart_id, expires_at, {}))
            cart.lines[ticket_type_id] = quantity
        return now, carts

    async def sale(self, event_id: str) -> SaleTables:
        """What the tables have of the orders and the money of an event, in one snapshot."""
        async with (
            self._pool.acquire() as connection,
            connection.transaction(isolation="repeatable_read", readonly=True),
        ):
            orders, payments, refunds, types, held = [
                [tuple(row) for row in await connection.fetch(statement, event_id)]
                for statement in (ORDERS, PAYMENTS, REFUNDS, TICKET_TYPES, HELD)
            ]
        return SaleTables(
            {row[0]: row[1:] for row in orders},
            payments,
            refunds,
            {id: sold for id, sold, _ in types},
            {id: reserved for id, _, reserved in types},
            dict(held),
        )

    async def sessions(self) -> list[Session]:
        return [Session(*row) for row in await self._pool.fetch(SESSIONS)]

    async def deadlocks(self) -> int:
        """Since the server's statistics began: a crash of the server begins them anew."""
        return int(await self._pool.fetchval(DEADLOCKS))

    async def switch_wal(self) -> None:
        """Begin a new segment of the write-ahead log."""
        await self._pool.fetchval("SELECT pg_switch_wal()")

    async def terminate(self, number: int) -> int:
        """End so many sessions of workers, those first that wait for a lock."""
        return int(await self._pool.fetchval(TERMINATE, number))
