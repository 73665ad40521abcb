"""Locks and reads the book of a batch, and saves what changed.

Every statement takes all of the batch at once, so that 500 commands cost about as many
round trips as one. Locks are taken in one order everywhere: users, events, ticket types,
each by ID. What is locked is read after the lock, in a statement of its own: a statement
that waited for a lock still sees everything but the locked row as it was before it waited.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import TextClause

from shared.commands import (
    CancelEvent,
    ChangeTicketType,
    Command,
    CreateTicketType,
    EndEvent,
    RegisterUser,
    ReserveTickets,
    SetQuantity,
)
from worker.domain.book import Book, Cart, Changes, Event, Rules, TicketType
from worker.storage.driver import Driver, fetch
from worker.storage.statements import (
    CLOSE_CARTS,
    DROP_LINES,
    INSERT_EVENTS,
    INSERT_TICKET_TYPES,
    INSERT_USERS,
    LOCK_EVENTS,
    LOCK_TICKET_TYPES,
    LOCK_USERS,
    READ_CARTS,
    READ_EMAILS,
    READ_EVENTS,
    SAVE_HOLDS,
    TICKET_TYPES_OF_EVENTS,
    UPDATE_EVENTS,
)

Columns = dict[str, list[Any]]
"""The parameters of a statement: an array for each column, one entry a row."""

MAX_DUE_CARTS = 2_000
"""How many carts of others, whose hold is over, one batch takes along."""


async def lock_book(
    driver: Driver, commands: Sequence[Command], due_users: Iterable[str], rules: Rules
) -> Book:
    """Lock and read all that the commands may touch, and the due carts in their way."""
    user_ids = {command.user_id for command in commands}.union(due_users)
    wanted = _wanted_ticket_types(commands)
    existing = await _column(
        driver,
        LOCK_USERS,
        user_ids=sorted(user_ids),
        wanted=sorted(wanted),
        limit=MAX_DUE_CARTS,
    )
    carts = await _read_carts(driver, existing)
    emails = await _read_emails(driver, commands)

    ticket_type_ids = wanted | {id for cart in carts.values() for id in cart.lines}
    event_ids = _closing_events(commands)
    if event_ids:
        await fetch(driver, LOCK_EVENTS, {"ids": sorted(event_ids)})
        ticket_type_ids.update(
            await _column(driver, TICKET_TYPES_OF_EVENTS, event_ids=sorted(event_ids))
        )
    rows = await fetch(driver, LOCK_TICKET_TYPES, {"ids": sorted(ticket_type_ids)})
    ticket_types = {row[0]: TicketType(*row) for row in rows}
    event_ids.update(ticket_type.event_id for ticket_type in ticket_types.values())
    now, events = await _read_events(driver, event_ids)
    return Book(
        now=now,
        rules=rules,
        user_ids=set(existing),
        emails=emails,
        events=events,
        ticket_types=ticket_types,
        carts=carts,
        more_are_due=len(existing) - len(user_ids.intersection(existing)) >= MAX_DUE_CARTS,
    )


async def save_book(driver: Driver, changes: Changes) -> None:
    """Write what changed, with no statement for what did not."""
    for statement, columns in _writes(changes):
        if any(columns.values()):
            await fetch(driver, statement, columns)


def _writes(changes: Changes) -> Iterable[tuple[TextClause, Columns]]:
    """The statements of a save and their columns, in an order that no constraint minds."""
    # Sorted, as no lock keeps two batches that register the same users from meeting here.
    new_users = sorted(changes.new_users, key=lambda user: user.id)
    yield INSERT_USERS, _columns(3, [(u.id, u.email, u.password_hash) for u in new_users])
    new_events = [
        (e.id, e.organizer_id, e.name, e.starts_at, e.ends_at, e.status)
        for e in changes.new_events.values()
    ]
    yield INSERT_EVENTS, _columns(6, new_events)
    yield UPDATE_EVENTS, _columns(2, [(e.id, e.status) for e in changes.changed_events.values()])
    yield INSERT_TICKET_TYPES, _ticket_types(changes.new_ticket_types.values())

    opened = changes.opened_carts
    closed = [(c.id, c.status) for c in changes.closed_carts.values() if c.id not in opened]
    # Before the new ones: a user has one active cart.
    yield CLOSE_CARTS, _columns(2, closed)
    carts = [(c.id, c.user_id, c.status, c.expires_at) for c in opened.values()]
    puts: list[tuple[Any, ...]] = []
    drops: list[tuple[Any, ...]] = []
    for (cart_id, ticket_type_id), cart in changes.touched_lines.items():
        if quantity := cart.lines.get(ticket_type_id):
            puts.append((cart_id, ticket_type_id, quantity))
        elif cart_id not in opened:
            drops.append((cart_id, ticket_type_id))
    yield (
        SAVE_HOLDS,
        _ticket_types(changes.changed_ticket_types.values())
        | _columns(4, carts, "cart")
        | _columns(3, puts, "line"),
    )
    yield DROP_LINES, _columns(2, drops)


def _ticket_types(ticket_types: Iterable[TicketType]) -> Columns:
    rows = [
        (t.id, t.event_id, t.name, t.total, t.reserved, t.sold, t.sale_starts_at, t.sale_ends_at)
        for t in ticket_types
    ]
    return _columns(8, rows)


def _columns(width: int, rows: list[tuple[Any, ...]], prefix: str = "c") -> Columns:
    """Turn rows into one array for each column, as the statements take them."""
    columns = zip(*rows, strict=True) if rows else ((),) * width
    return {f"{prefix}{number}": list(column) for number, column in enumerate(columns)}


def _wanted_ticket_types(commands: Sequence[Command]) -> set[str]:
    wanted: set[str] = set()
    for command in commands:
        match command:
            case ReserveTickets():
                wanted.update(item.ticket_type_id for item in command.items)
            case SetQuantity() | ChangeTicketType():
                wanted.add(command.ticket_type_id)
            case _:
                pass
    return wanted


def _closing_events(commands: Sequence[Command]) -> set[str]:
    """The events that the commands change, or add ticket types to."""
    closing = CancelEvent | EndEvent | CreateTicketType
    return {command.event_id for command in commands if isinstance(command, closing)}


async def _column(driver: Driver, statement: TextClause, **parameters: Any) -> Sequence[str]:
    return [row[0] for row in await fetch(driver, statement, parameters)]


async def _read_carts(driver: Driver, user_ids: Sequence[str]) -> dict[str, Cart]:
    rows = await fetch(driver, READ_CARTS, {"user_ids": user_ids})
    carts: dict[str, Cart] = {}
    for cart_id, user_id, expires_at, ticket_type_id, quantity in rows:
        cart = carts.get(user_id)
        if cart is None:
            carts[user_id] = cart = Cart(cart_id, user_id, expires_at, {})
        cart.lines[ticket_type_id] = quantity
    return carts


async def _read_emails(driver: Driver, commands: Sequence[Command]) -> set[str]:
    """The e-mail addresses, of those to register, that are taken."""
    wanted = {c.email.lower() for c in commands if isinstance(c, RegisterUser)}
    if not wanted:
        return set()
    return set(await _column(driver, READ_EMAILS, emails=sorted(wanted)))


async def _read_events(driver: Driver, event_ids: set[str]) -> tuple[datetime, dict[str, Event]]:
    """The clock, and the events; in the last statement before the decisions."""
    rows = await fetch(driver, READ_EVENTS, {"ids": sorted(event_ids)})
    return rows[0][0], {row[1]: Event(*row[1:]) for row in rows if row[1] is not None}
