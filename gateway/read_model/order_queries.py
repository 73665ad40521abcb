"""SELECTs on the orders of the read model."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.engine import RowMapping

from gateway.http.cursor import ListPosition
from gateway.read_model.queries import Queries
from shared.orders import Order, OrderStatus

ALL_STATUSES: tuple[OrderStatus, ...] = ("pending_payment", "paid", "cancelled", "expired")

_ORDER = (
    "id::text, event_id::text, user_id::text, status, currency, total, paid, refunded, kept,"
    " refund_due, created_at, pay_by, items::text, payments::text, refunds::text"
)
_ORDER_BY_ID = text(
    f"SELECT {_ORDER}, organizer_id::text, payment_agent_id::text FROM read_model.orders"
    " WHERE id = CAST(:id AS uuid)"
)
_OFFICERS = text(
    "SELECT organizer_id::text, payment_agent_id::text FROM read_model.events"
    " WHERE id = CAST(:id AS uuid)"
)
_AFTER = " AND (created_at, id) < (:after_at, CAST(:after_id AS uuid))"
_NEWEST_FIRST = "ORDER BY created_at DESC, id DESC LIMIT :limit"
# Only a list states it, so that only a list can use the indexes that have this condition.
_IS_LISTED = "created_at > '-infinity'"
# Each status is read by the index on event, status and time: no page sorts all orders of an event.
_OF_EVENT = f"""
    SELECT found.* FROM unnest(CAST(:statuses AS text[])) AS wanted (status)
    CROSS JOIN LATERAL (
        SELECT {_ORDER} FROM read_model.orders
        WHERE event_id = CAST(:event_id AS uuid) AND status = wanted.status
          AND {_IS_LISTED}{{after}}
        {_NEWEST_FIRST}
    ) AS found
    {_NEWEST_FIRST}
"""
_WITH_REFUND_DUE = f"""
    SELECT {_ORDER} FROM read_model.orders
    WHERE event_id = CAST(:event_id AS uuid) AND status = ANY (CAST(:statuses AS text[]))
      AND refund_due > 0{{after}}
    {_NEWEST_FIRST}
"""
_OF_USER = f"""
    SELECT {_ORDER} FROM read_model.orders
    WHERE user_id = CAST(:user_id AS uuid) AND status = ANY (CAST(:statuses AS text[]))
      AND {_IS_LISTED}{{after}}
    {_NEWEST_FIRST}
"""

_PARTS = ("items", "payments", "refunds")
_ORDERS = TypeAdapter(Order)


@dataclass(frozen=True, slots=True)
class OrderFilter:
    """Selects the orders of a list: those of a user or of an event."""

    user_id: str | None
    event_id: str | None
    status: OrderStatus | None
    """None: any."""
    refund_due: bool
    """Only orders of which money is due back."""


@dataclass(frozen=True, slots=True)
class OrderOfEvent:
    """An order, and who may see it beside its buyer."""

    order: Order
    officers: tuple[str, str]
    """The organizer and the payment agent of its event."""


async def read_order(queries: Queries, order_id: str) -> OrderOfEvent | None:
    """Return an order. May raise `database_unavailable`, as the others here."""
    rows = await queries.rows(_ORDER_BY_ID, id=order_id)
    if not rows:
        return None
    officers = (rows[0]["organizer_id"], rows[0]["payment_agent_id"])
    return OrderOfEvent(_order(rows[0]), officers)


async def officers_of(queries: Queries, event_id: str) -> tuple[str, str] | None:
    """Return the organizer and the payment agent of an event, None where there is no event."""
    rows = await queries.rows(_OFFICERS, id=event_id)
    return (rows[0]["organizer_id"], rows[0]["payment_agent_id"]) if rows else None


async def list_orders(
    queries: Queries, wanted: OrderFilter, limit: int, after: ListPosition | None
) -> Sequence[Order]:
    """Return up to `limit` orders after the position `after`, the newest first."""
    values: dict[str, Any] = {
        "limit": limit,
        "statuses": [wanted.status] if wanted.status else list(ALL_STATUSES),
    }
    if wanted.user_id is not None:
        statement, values["user_id"] = _OF_USER, wanted.user_id
    else:
        statement = _WITH_REFUND_DUE if wanted.refund_due else _OF_EVENT
        values["event_id"] = wanted.event_id
    if after is not None:
        values |= {"after_at": after.at, "after_id": after.id}
    rows = await queries.rows(text(statement.format(after=_AFTER if after else "")), **values)
    return [_order(row) for row in rows]


def _order(row: RowMapping) -> Order:
    fields = {name: value for name, value in row.items() if name not in _OFFICER_FIELDS}
    parts = {name: json.loads(fields[name] or "[]") for name in _PARTS}
    return _ORDERS.validate_python(fields | parts)


_OFFICER_FIELDS = ("organizer_id", "payment_agent_id")
