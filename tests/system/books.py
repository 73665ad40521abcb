"""Checks the books: reads the tables on a connection of its own."""

import asyncio
from types import TracebackType
from typing import Any, Self

import asyncpg

CONNECT_SECONDS = 10
AUDIT_SECONDS = 20

OUT_OF_BOUNDS = """
    SELECT id FROM booking.ticket_types
    WHERE reserved < 0 OR sold < 0 OR reserved + sold > total
"""
# One statement is one snapshot: it may run while commands are being decided.
NOT_COVERED = """
    SELECT ticket_type.id, ticket_type.reserved, ticket_type.sold, held.reserved, held.sold
    FROM booking.ticket_types AS ticket_type
    LEFT JOIN (
        SELECT ticket_type_id, sum(reserved) AS reserved, sum(sold) AS sold
        FROM (
            SELECT line.ticket_type_id, line.quantity AS reserved, 0 AS sold
            FROM booking.cart_items AS line
            JOIN booking.carts AS cart ON cart.id = line.cart_id
            WHERE cart.status = 'active'
            UNION ALL
            SELECT item.ticket_type_id,
                   CASE purchase.status WHEN 'pending_payment' THEN item.held ELSE 0 END,
                   CASE purchase.status WHEN 'paid' THEN item.held ELSE 0 END
            FROM booking.order_items AS item
            JOIN booking.orders AS purchase ON purchase.id = item.order_id
        ) AS line
        GROUP BY ticket_type_id
    ) AS held ON held.ticket_type_id = ticket_type.id
    WHERE ticket_type.reserved <> coalesce(held.reserved, 0)
       OR ticket_type.sold <> coalesce(held.sold, 0)
"""
HELD = """
    SELECT cart.user_id::text, line.ticket_type_id::text, line.quantity
    FROM booking.carts AS cart JOIN booking.cart_items AS line ON line.cart_id = cart.id
    WHERE cart.status = 'active' AND cart.user_id = ANY ($1::uuid[])
"""


class Books:
    """The content of the database, independent of any answer."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._one_at_a_time = asyncio.Lock()
        self._connection: asyncpg.Connection

    async def __aenter__(self) -> Self:
        self._connection = await asyncpg.connect(
            self._url, timeout=CONNECT_SECONDS, command_timeout=AUDIT_SECONDS
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def balance(self) -> None:
        """Check I1 and I2: no oversale, and carts or orders have all that is not available."""
        assert await self._rows(OUT_OF_BOUNDS) == []
        assert await self._rows(NOT_COVERED) == []

    async def outcomes(self, command_ids: list[str]) -> dict[str, str]:
        """Return, for I3, the document that is recorded under each of these IDs."""
        rows = await self._rows(
            "SELECT command_id::text, document FROM booking.outcomes"
            " WHERE command_id = ANY ($1::uuid[])",
            command_ids,
        )
        documents: dict[str, str] = dict(rows)
        assert len(documents) == len(rows), "two outcomes under one ID"
        return documents

    async def held_by(self, user_ids: list[str]) -> dict[str, dict[str, int]]:
        """Return, for I5, the active cart of each of these users, by ticket type."""
        held: dict[str, dict[str, int]] = {user_id: {} for user_id in user_ids}
        for user_id, ticket_type_id, quantity in await self._rows(HELD, user_ids):
            held[user_id][ticket_type_id] = quantity
        return held

    async def reserved(self, ticket_type_id: str) -> int:
        ((reserved,),) = await self._rows(
            "SELECT reserved FROM booking.ticket_types WHERE id = $1::uuid", ticket_type_id
        )
        return int(reserved)

    async def _rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        async with self._one_at_a_time:
            return [tuple(row) for row in await self._connection.fetch(statement, *values)]
