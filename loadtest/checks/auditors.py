"""Reads the held tickets: from the database, else from the event's page, else from a worker."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg

from loadtest.checks.balance import Held
from loadtest.fixtures import Fixtures, ticket_type_names
from loadtest.http.client import HttpClient
from loadtest.measure.sales import Sales
from loadtest.queue.client import QueueClient
from loadtest.workload import Workload
from shared.commands import ChangeTicketType
from shared.ids import first_id_at, new_id, unix_ms
from shared.messages import MAX_COMMANDS_A_MESSAGE
from shared.outcomes import TicketTypeResult

CONNECT_SECONDS = 10.0
QUERY_SECONDS = 120.0

# One statement is one snapshot. Checking out moves lines from a cart to an order.
HELD = """
    SELECT ticket_type.id::text, ticket_type.total, ticket_type.reserved,
           coalesce(lines.granted, 0) + coalesce(ordered.granted, 0) AS granted,
           coalesce(lines.in_carts, 0) AS in_carts,
           coalesce(ordered.pending, 0) AS in_orders, ticket_type.sold,
           coalesce(ordered.paid, 0) AS in_paid_orders
    FROM booking.ticket_types AS ticket_type
    LEFT JOIN (
        SELECT line.ticket_type_id, sum(line.quantity) AS granted,
               sum(line.quantity) FILTER (WHERE cart.status = 'active') AS in_carts
        FROM booking.cart_items AS line
        JOIN booking.carts AS cart ON cart.id = line.cart_id
        WHERE cart.user_id = ANY ($2::uuid[])
        GROUP BY line.ticket_type_id
    ) AS lines ON lines.ticket_type_id = ticket_type.id
    LEFT JOIN (
        SELECT item.ticket_type_id, sum(item.quantity) AS granted,
               sum(item.held) FILTER (WHERE an_order.status = 'pending_payment') AS pending,
               sum(item.held) FILTER (WHERE an_order.status = 'paid') AS paid
        FROM booking.order_items AS item
        JOIN booking.orders AS an_order ON an_order.id = item.order_id
        WHERE item.ticket_type_id = ANY ($1::uuid[])
        GROUP BY item.ticket_type_id
    ) AS ordered ON ordered.ticket_type_id = ticket_type.id
    WHERE ticket_type.id = ANY ($1::uuid[])
"""
RECORDED = """
    SELECT count(*) FROM booking.outcomes
    WHERE command_id >= $1::uuid
      AND (
          user_id = ANY ($2::uuid[])
          OR user_id = $3::uuid AND document LIKE '%"kind":"record_payment"%'
      )
"""
ORDERS = """
    SELECT count(*), coalesce(sum(total), 0), count(*) FILTER (WHERE status = 'paid')
    FROM booking.orders WHERE event_id = $1::uuid
"""
PAYMENTS = """
    SELECT count(*), coalesce(sum(amount), 0),
           coalesce(sum(amount) FILTER (WHERE disposition = 'accepted'), 0)
    FROM booking.payments WHERE event_id = $1::uuid
"""
LOWEST_REST = "-0000-0000-000000000000"
"""Completes the first characters of an ID."""


class DatabaseAuditor:
    """Reads the tables."""

    source = "the database"

    def __init__(self, database_url: str, fixtures: Fixtures) -> None:
        self._database_url = database_url
        self._fixtures = fixtures
        self._users = [buyer.user_id for buyer in fixtures.buyers]

    async def held(self) -> list[Held]:
        rows = await self._fetch(HELD, list(self._fixtures.ticket_type_ids), self._users)
        return in_order(self._fixtures.ticket_type_ids, [Held(*row) for row in rows])

    async def recorded(self) -> int:
        """Count the outcomes of the buyers' commands, which are younger than their event."""
        first = first_id_at(unix_ms(self._fixtures.event_id)) + LOWEST_REST
        (row,) = await self._fetch(RECORDED, first, self._users, self._fixtures.organizer.user_id)
        return int(row[0])

    async def sales(self) -> Sales:
        ((orders, ordered_amount, paid_orders),) = await self._fetch(
            ORDERS, self._fixtures.event_id
        )
        ((payments, paid_amount, accepted_amount),) = await self._fetch(
            PAYMENTS, self._fixtures.event_id
        )
        return Sales(
            orders,
            int(ordered_amount),
            payments,
            int(paid_amount),
            int(accepted_amount),
            paid_orders,
        )

    async def _fetch(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(
            self._database_url, timeout=CONNECT_SECONDS, command_timeout=QUERY_SECONDS
        )
        try:
            return [tuple(row) for row in await connection.fetch(statement, *values)]
        finally:
            await connection.close()


class EventPageAuditor:
    """Reads the event's page."""

    source = "the event's page"

    def __init__(self, client: HttpClient, fixtures: Fixtures) -> None:
        self._client = client
        self._fixtures = fixtures

    async def held(self) -> list[Held]:
        page = await self._client.get(f"/v1/events/{self._fixtures.event_id}")
        shown = [
            Held(
                each["id"],
                each["total_quantity"],
                each["reserved_quantity"],
                sold=each["sold_quantity"],
            )
            for each in page["ticket_types"]
        ]
        return in_order(self._fixtures.ticket_type_ids, shown)

    async def recorded(self) -> None:
        return None

    async def sales(self) -> None:
        return None


class WorkerAuditor:
    """Asks a worker: the outcome of renaming a ticket type to its own name shows what is held."""

    source = "a worker (name the database to check the tables too)"

    def __init__(self, queue_client: QueueClient, fixtures: Fixtures, workload: Workload) -> None:
        self._queue_client = queue_client
        self._fixtures = fixtures
        self._names = ticket_type_names(workload)

    async def held(self) -> list[Held]:
        changes = [
            ChangeTicketType(
                command_id=new_id(),
                user_id=self._fixtures.organizer.user_id,
                submitted_at=datetime.now(UTC),
                ticket_type_id=ticket_type_id,
                name=name,
            )
            for ticket_type_id, name in zip(
                self._fixtures.ticket_type_ids, self._names, strict=True
            )
        ]
        outcomes = []
        for start in range(0, len(changes), MAX_COMMANDS_A_MESSAGE):
            outcomes += await self._queue_client.apply(
                changes[start : start + MAX_COMMANDS_A_MESSAGE]
            )
        results = [each.result for each in outcomes]
        shown = [each.ticket_type for each in results if isinstance(each, TicketTypeResult)]
        return [
            Held(each.id, each.total_quantity, each.reserved_quantity, sold=each.sold_quantity)
            for each in shown
        ]

    async def recorded(self) -> None:
        return None

    async def sales(self) -> None:
        return None


def in_order(ticket_type_ids: Sequence[str], held: list[Held]) -> list[Held]:
    """Sort the held quantities by the order of the counters."""
    by_id = {each.ticket_type_id: each for each in held}
    return [by_id[each] for each in ticket_type_ids if each in by_id]
