"""Locks and reads the book of a batch.

Every statement takes the whole batch at once: 500 commands cost about as many round trips as
one. All transactions take locks in one order: users, events, ticket types, each by ID. Rows are
read after they are locked, by another statement: a statement that waited for a lock re-reads only
the locked row, and sees all others as they were before it waited.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.commands import Command
from worker.domain.book import Book, Cart, Event, Rules, TicketType
from worker.domain.locks import LockRequest, lock_request
from worker.storage.driver import Driver
from worker.storage.statements import (
    LOCK_EVENTS,
    LOCK_TICKET_TYPES,
    LOCK_USERS,
    READ_CARTS,
    READ_EMAILS,
    READ_EVENTS,
    TICKET_TYPES_OF_EVENTS,
)


@dataclass(slots=True, frozen=True)
class LockedUsers:
    """The users of a batch, locked, and their carts."""

    request: LockRequest
    ids: set[str]
    """Those of the request that exist, and the owners of due carts that hold wanted tickets."""
    carts: dict[str, Cart]
    """The active carts, by user ID."""


@dataclass(slots=True, frozen=True)
class LockedBook:
    """The book of a batch, locked."""

    book: Book
    due_carts_remain: bool
    """Whether unlocked due carts hold wanted tickets: too many, or filled meanwhile."""


async def lock_users(
    driver: Driver, commands: Sequence[Command], due_users: Iterable[str], max_due_lines: int
) -> LockedUsers:
    """Lock the users of the commands, `due_users`, and owners of due carts with wanted tickets.

    Looks at up to `max_due_lines` lines of due carts.
    """
    request = lock_request(commands)
    request.user_ids.update(due_users)
    rows = await driver.fetch(
        LOCK_USERS, sorted(request.user_ids), sorted(request.ticket_type_ids), max_due_lines
    )
    existing = [row[0] for row in rows]
    return LockedUsers(request, set(existing), carts=await _read_carts(driver, existing))


async def lock_book(driver: Driver, users: LockedUsers, rules: Rules) -> LockedBook:
    """Lock and read all other rows that the commands of these users need.

    The ticket types come last: most batches want the same ones, and the next batch waits here
    until this one has committed. Under their locks the last statement looks for due carts again.
    """
    request = users.request
    emails = await _read_emails(driver, request.emails)
    ticket_type_ids = request.ticket_type_ids.union(*(cart.lines for cart in users.carts.values()))
    event_ids = set(request.event_ids)
    if event_ids:
        await driver.fetch(LOCK_EVENTS, sorted(event_ids))
        rows = await driver.fetch(TICKET_TYPES_OF_EVENTS, sorted(event_ids))
        ticket_type_ids.update([row[0] for row in rows])
    rows = await driver.fetch(LOCK_TICKET_TYPES, sorted(ticket_type_ids))
    ticket_types = {row[0]: TicketType(*row) for row in rows}
    event_ids.update(ticket_type.event_id for ticket_type in ticket_types.values())
    now, due_carts_remain, events = await _read_events(driver, event_ids, users)
    book = Book(
        now=now,
        rules=rules,
        user_ids=users.ids,
        emails=emails,
        events=events,
        ticket_types=ticket_types,
        carts=users.carts,
    )
    return LockedBook(book, due_carts_remain)


async def _read_carts(driver: Driver, user_ids: Sequence[str]) -> dict[str, Cart]:
    carts: dict[str, Cart] = {}
    for *columns, ticket_type_id, quantity in await driver.fetch(READ_CARTS, user_ids):
        cart = Cart(*columns)
        carts.setdefault(cart.user_id, cart).lines[ticket_type_id] = quantity
    return carts


async def _read_emails(driver: Driver, wanted: set[str]) -> set[str]:
    """Return which of the e-mail addresses are taken."""
    if not wanted:
        return set()
    return {row[0] for row in await driver.fetch(READ_EMAILS, sorted(wanted))}


async def _read_events(
    driver: Driver, event_ids: set[str], users: LockedUsers
) -> tuple[datetime, bool, dict[str, Event]]:
    """Return the time, whether due carts remain that are not locked, and the events.

    The last statement before the decisions sees what other batches committed before they
    released the ticket types. The search for due carts in `lock_users` could not see it.
    """
    rows = await driver.fetch(
        READ_EVENTS, sorted(event_ids), list(users.ids), list(users.request.ticket_type_ids)
    )
    now, due_carts_remain = rows[0][:2]
    return now, due_carts_remain, {row[2]: Event(*row[2:]) for row in rows if row[2] is not None}
