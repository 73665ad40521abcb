"""Saves what a batch decided: what became of the book, and the outcomes."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import TextClause

from worker.domain.batch import Batch
from worker.domain.book import Changes, TicketType
from worker.storage.driver import Driver, fetch
from worker.storage.statements import (
    CLOSE_CARTS,
    DROP_LINES,
    INSERT_EVENTS,
    INSERT_TICKET_TYPES,
    INSERT_USERS,
    SAVE_HOLDS_AND_OUTCOMES,
    UPDATE_EVENTS,
)

Columns = dict[str, list[Any]]
"""The parameters of a statement: an array for each column, one entry a row."""


async def save(driver: Driver, batch: Batch) -> None:
    """Write what changed, with no statement for what did not."""
    for statement, columns in _writes(batch):
        if any(columns.values()):
            await fetch(driver, statement, columns)


def _writes(batch: Batch) -> Iterable[tuple[TextClause, Columns]]:
    """The statements of a save and their columns, in an order that no constraint minds."""
    changes = batch.changes
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
    puts, drops = _lines(changes)
    yield DROP_LINES, _columns(2, drops)
    carts = [(c.id, c.user_id, c.status, c.expires_at) for c in opened.values()]
    # Sorted, as commands of users that do not exist are serialised by no lock.
    outcomes = sorted(
        (f.command.command_id, f.command.user_id, f.fingerprint, f.document, f.outcome.decided_at)
        for f in batch.fresh
    )
    yield (
        SAVE_HOLDS_AND_OUTCOMES,
        _ticket_types(changes.changed_ticket_types.values())
        | _columns(4, carts, "cart")
        | _columns(3, puts, "line")
        | _columns(5, outcomes, "outcome"),
    )


def _lines(changes: Changes) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The lines to put into carts, and those to drop."""
    puts: list[tuple[Any, ...]] = []
    drops: list[tuple[Any, ...]] = []
    for (cart_id, ticket_type_id), cart in changes.touched_lines.items():
        if quantity := cart.lines.get(ticket_type_id):
            puts.append((cart_id, ticket_type_id, quantity))
        elif cart_id not in changes.opened_carts:
            drops.append((cart_id, ticket_type_id))
    return puts, drops


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
