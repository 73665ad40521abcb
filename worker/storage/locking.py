"""Locks and reads the book of a batch.

Every statement takes all of the batch at once, so that 500 commands cost about as many
round trips as one. Locks are taken in one order everywhere: users, events, ticket types,
each by ID. What is locked is read after the lock, in a statement of its own: a statement
that waited for a lock still sees everything but the locked row as it was before it waited.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
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
from worker.domain.book import Book, Cart, Event, Rules, TicketType
from worker.storage.driver import Driver, fetch
from worker.storage.statements import (
    LOCK_EVENTS,
    LOCK_TICKET_TYPES,
    LOCK_USERS,
    READ_CARTS,
    READ_EMAILS,
    READ_EVENTS,
    TICKET_TYPES_OF_EVENTS,
)

MAX_DUE_CARTS = 2_000
"""How many carts of others, whose hold is over, one batch takes along."""


@dataclass(slots=True)
class LockRequest:
    """What the commands of a batch name."""

    user_ids: set[str]
    ticket_type_ids: set[str] = field(default_factory=set)
    """Those to take more of, or to change."""
    event_ids: set[str] = field(default_factory=set)
    """Those to close, or to add ticket types to."""
    emails: set[str] = field(default_factory=set)
    """Those to register, in lower case."""


@dataclass(slots=True)
class LockedUsers:
    """The users of a batch, locked, and what they hold."""

    wanted: LockRequest
    ids: set[str]
    """Those that exist, and those whose hold is over and stands in the way."""
    carts: dict[str, Cart]
    """The active carts, by user ID."""
    expired_carts_remain: bool
    """Whether due carts are left that are in the way: more than one transaction takes along, or
    some that others have just put wanted tickets into."""


async def lock_users(
    driver: Driver, commands: Sequence[Command], due_users: Iterable[str]
) -> LockedUsers:
    """Lock whoever the commands come from, and whose due carts are in their way."""
    wanted = _wanted(commands)
    wanted.user_ids.update(due_users)
    existing = await _column(
        driver,
        LOCK_USERS,
        user_ids=sorted(wanted.user_ids),
        wanted=sorted(wanted.ticket_type_ids),
        limit=MAX_DUE_CARTS,
    )
    ids = set(existing)
    return LockedUsers(
        wanted,
        ids,
        carts=await _read_carts(driver, existing),
        expired_carts_remain=len(ids - wanted.user_ids) >= MAX_DUE_CARTS,
    )


async def lock_book(driver: Driver, users: LockedUsers, rules: Rules) -> Book:
    """Lock and read all else that the commands of these users may touch.

    The ticket types come last: they are what everybody wants at the same time, and here the
    next batch waits until this one has committed. Under their locks it looks for due carts
    once more, and notes with the users whether there are any.
    """
    wanted = users.wanted
    emails = await _read_emails(driver, wanted.emails)
    ticket_type_ids = wanted.ticket_type_ids.union(*(cart.lines for cart in users.carts.values()))
    event_ids = set(wanted.event_ids)
    if event_ids:
        await fetch(driver, LOCK_EVENTS, {"ids": sorted(event_ids)})
        ticket_type_ids.update(
            await _column(driver, TICKET_TYPES_OF_EVENTS, event_ids=sorted(event_ids))
        )
    rows = await fetch(driver, LOCK_TICKET_TYPES, {"ids": sorted(ticket_type_ids)})
    ticket_types = {row[0]: TicketType(*row) for row in rows}
    event_ids.update(ticket_type.event_id for ticket_type in ticket_types.values())
    now, overlooked, events = await _read_events(driver, event_ids, users)
    users.expired_carts_remain |= overlooked
    return Book(
        now=now,
        rules=rules,
        user_ids=users.ids,
        emails=emails,
        events=events,
        ticket_types=ticket_types,
        carts=users.carts,
    )


def _wanted(commands: Sequence[Command]) -> LockRequest:
    wanted = LockRequest({command.user_id for command in commands})
    for command in commands:
        match command:
            case ReserveTickets():
                wanted.ticket_type_ids.update([line.ticket_type_id for line in command.items])
            case SetQuantity() | ChangeTicketType():
                wanted.ticket_type_ids.add(command.ticket_type_id)
            case CancelEvent() | EndEvent() | CreateTicketType():
                wanted.event_ids.add(command.event_id)
            case RegisterUser():
                wanted.emails.add(command.email.lower())
            case _:
                pass
    return wanted


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


async def _read_emails(driver: Driver, wanted: set[str]) -> set[str]:
    """The e-mail addresses, of those wanted, that are taken."""
    if not wanted:
        return set()
    return set(await _column(driver, READ_EMAILS, emails=sorted(wanted)))


async def _read_events(
    driver: Driver, event_ids: set[str], users: LockedUsers
) -> tuple[datetime, bool, dict[str, Event]]:
    """The clock, whether due carts were overlooked, and the events.

    In the last statement before the decisions: it sees what others did before they let go of
    the ticket types, which whoever looked for due carts before could not.
    """
    rows = await fetch(
        driver,
        READ_EVENTS,
        {
            "ids": sorted(event_ids),
            "locked_users": list(users.ids),
            "wanted": list(users.wanted.ticket_type_ids),
        },
    )
    now, overlooked = rows[0][:2]
    return now, overlooked, {row[2]: Event(*row[2:]) for row in rows if row[2] is not None}
