"""What each statement of the worker does, on tables in memory.

Of the SQL itself three things are read: whether it locks, whether it orders what it locks, and
which clock it asks. All else is tested on Postgres.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any

from asyncpg import InvalidTextRepresentationError, UniqueViolationError

from reliability.simulation.fakes.tables import (
    CartRow,
    EventRow,
    OrderItemRow,
    OutcomeRow,
    TicketTypeRow,
    Transaction,
    UserRow,
)
from worker.storage import statements

Rows = list[tuple[Any, ...]]
Ids = Sequence[str]
Column = Sequence[Any]


async def lock_users(
    tx: Transaction, sql: str, user_ids: Ids, wanted_ids: Ids, max_due: int
) -> Rows:
    now = tx.database.now()
    due = _due_users(tx, now, (), wanted_ids)[:max_due]
    due_items = due_order_items(tx, now, wanted_ids)[:max_due]
    due += [item.user_id for item in due_items]
    users = await tx.lock("users", [*user_ids, *due], sql)
    return [(user.id, len(due_items)) for user in users]


def _due_users(
    tx: Transaction, due_at: datetime, others: Collection[str], wanted: Sequence[str]
) -> list[str]:
    """Who, besides the others, holds what is wanted in a cart that is due."""
    return [
        cart.user_id
        for cart_id, cart in tx.rows("carts")
        if cart.status == "active"
        and cart.expires_at <= due_at
        and cart.user_id not in others
        and any(tx.get("lines", (cart_id, id)) for id in wanted)
    ]


def due_order_items(tx: Transaction, due_at: datetime, wanted: Sequence[str]) -> list[OrderItemRow]:
    """What due orders hold of the ticket types that are wanted, the longest due first."""
    due = [
        (item.held_until, item)
        for _, item in tx.rows("items")
        if item.ticket_type_id in wanted and item.held_until and item.held_until <= due_at
    ]
    return [item for _, item in sorted(due)]


async def read_carts(tx: Transaction, sql: str, user_ids: Ids) -> Rows:
    users = set(user_ids)
    active = {
        id: cart
        for id, cart in tx.rows("carts")
        if cart.status == "active" and cart.user_id in users
    }
    return [
        (*active[cart_id], type_id, quantity)
        for (cart_id, type_id), quantity in tx.rows("lines")
        if cart_id in active
    ]


async def recall(tx: Transaction, sql: str, ids: Ids, lowest: str, highest: str) -> Rows:
    found = [tx.get("outcomes", id) for id in ids if lowest <= id <= highest]
    return [
        (row.command_id, row.fingerprint, row.document, row.dead_letter) for row in found if row
    ]


async def read_emails(tx: Transaction, sql: str, emails: Sequence[str]) -> Rows:
    taken = {user.email.lower() for _, user in tx.rows("users")} & set(emails)
    return [(email,) for email in sorted(taken)]


async def lock_events(tx: Transaction, sql: str, ids: list[str]) -> Rows:
    return [() for _ in await tx.lock("events", ids, sql)]


async def ticket_types_of_events(tx: Transaction, sql: str, event_ids: Ids) -> Rows:
    return [(id,) for id, row in tx.rows("ticket_types") if row.event_id in event_ids]


async def lock_ticket_types(tx: Transaction, sql: str, ids: list[str]) -> Rows:
    return await tx.lock("ticket_types", ids, sql)


async def read_events(
    tx: Transaction, sql: str, ids: Ids, locked_users: Ids, wanted_ids: Ids, order_ids: Ids
) -> Rows:
    tx.clock = tx.database.now() if "clock_timestamp()" in sql else tx.began
    overlooked = bool(_due_users(tx, tx.began, locked_users, wanted_ids)) or any(
        item.order_id not in order_ids for item in due_order_items(tx, tx.began, wanted_ids)
    )
    events = [tx.get("events", id) for id in ids]
    found = [event for event in events if event] or [[None] * len(EventRow._fields)]
    return [(tx.clock, overlooked, *event) for event in found]


async def insert_users(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for id, email, *_ in zip(*columns, strict=True):
        await tx.claim("emails", email.lower())
        if any(user.email.lower() == email.lower() for _, user in tx.rows("users")):
            raise UniqueViolationError("duplicate e-mail address")
        await tx.insert("users", id, UserRow(id, email))
    return []


async def insert_events(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        await tx.insert("events", row[0], EventRow(*row))
    return []


async def update_events(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        event = EventRow(*row)
        if event.ends_at <= event.starts_at:
            tx.refuse("an event that ends before it starts")
        tx.put("events", event.id, event)
    return []


async def insert_ticket_types(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        await tx.insert("ticket_types", row[0], TicketTypeRow(*row))
    return []


async def update_carts(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        cart = CartRow(*row)
        tx.update_cart(cart.id, cart.expires_at, cart.status)
    return []


async def drop_cart_items(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for key in zip(*columns, strict=True):
        tx.put("lines", key, None)
    return []


async def save_holds_and_outcomes(tx: Transaction, sql: str, *columns: Column) -> Rows:
    ticket_types, carts, items, outcomes = split_rows(columns)
    for row in ticket_types:
        ticket_type = TicketTypeRow(*row)
        available = ticket_type.total - ticket_type.reserved - ticket_type.sold
        if min(ticket_type.reserved, ticket_type.sold, available) < 0:
            tx.refuse(
                f"{ticket_type.reserved} of {ticket_type.total} tickets reserved,"
                f" {ticket_type.sold} sold"
            )
        tx.put("ticket_types", ticket_type.id, ticket_type)
    for row in carts:
        cart = CartRow(*row)
        if cart.status == "active" and any(
            other.user_id == cart.user_id and other.status == "active"
            for _, other in tx.rows("carts")
        ):
            tx.refuse("a second active cart of a user")
        await tx.insert("carts", cart.id, cart)
    for cart_id, type_id, quantity, _ in items:
        tx.put("lines", (cart_id, type_id), quantity)
    for row in outcomes:
        await _insert_outcome(tx, OutcomeRow(*row))
    return []


async def _insert_outcome(tx: Transaction, row: OutcomeRow) -> None:
    if row.command_id in tx.database.poisoned and not row.dead_letter:
        raise InvalidTextRepresentationError("what no retry will mend")
    await tx.claim("outcomes", row.command_id)
    is_locked, without_lock = tx.found_locked(row.user_id), tx.database.recorded_without_lock
    recorded = tx.get("outcomes", row.command_id)
    if recorded is not None:
        # Only where one of the two found no user, and so no lock, may they meet here.
        both_locked = is_locked and row.command_id not in without_lock
        if recorded.user_id == row.user_id and both_locked:
            tx.database.alarms.append("I3: an outcome decided again under its user's lock")
        raise UniqueViolationError("duplicate key in outcomes")
    if not is_locked:
        without_lock.add(row.command_id)
    tx.put("outcomes", row.command_id, row)


def split_rows(columns: Sequence[Column]) -> list[list[tuple[Any, ...]]]:
    """Return the rows of each table that SAVE_HOLDS_AND_OUTCOMES writes."""
    rows, rest = [], list(columns)
    for table in statements.HOLDS_AND_OUTCOMES:
        rows.append(list(zip(*rest[: len(table)], strict=True)))
        del rest[: len(table)]
    return rows


Handler = Callable[..., Awaitable[Rows]]
"""Takes the transaction, the text of the statement, and its parameters."""

_HANDLERS: dict[str, Handler] = {
    "LOCK_USERS": lock_users,
    "READ_CARTS": read_carts,
    "RECALL": recall,
    "READ_EMAILS": read_emails,
    "LOCK_EVENTS": lock_events,
    "TICKET_TYPES_OF_EVENTS": ticket_types_of_events,
    "LOCK_TICKET_TYPES": lock_ticket_types,
    "READ_EVENTS": read_events,
    "INSERT_USERS": insert_users,
    "INSERT_EVENTS": insert_events,
    "UPDATE_EVENTS": update_events,
    "INSERT_TICKET_TYPES": insert_ticket_types,
    "UPDATE_CARTS": update_carts,
    "DROP_CART_ITEMS": drop_cart_items,
    "SAVE_HOLDS_AND_OUTCOMES": save_holds_and_outcomes,
}


CART_STATEMENTS: dict[str, tuple[str, Handler]] = {
    getattr(statements, name): (name.lower(), handler) for name, handler in _HANDLERS.items()
}
"""Name and handler of a statement, by its text."""
