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
from shared.messages import UnreadCommand
from worker.domain.book import Book, Cart, Event, Rules, TicketType
from worker.domain.locks import Due, LockRequest, lock_request
from worker.storage.driver import Driver
from worker.storage.orders import look_up_buyers, read_ordered, read_orders
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
    """Those of the request that exist, and the owners of due carts and orders of wanted tickets."""
    carts: dict[str, Cart]
    """The active carts, by user ID."""
    senders: set[str]
    """Users that exist and are not locked."""
    are_due_orders_in_the_way: bool
    """Whether due orders hold wanted tickets."""
    max_due_lines: int


@dataclass(slots=True, frozen=True)
class LockedBook:
    """The book of a batch, locked."""

    book: Book
    due_holds_remain: bool
    """Whether due holds of wanted tickets are not in the book: there were too many, or they came
    due after `lock_users` looked."""


async def lock_users(
    driver: Driver,
    commands: Sequence[Command | UnreadCommand],
    due: Iterable[Due],
    max_due_lines: int,
) -> LockedUsers:
    """Lock the users of the commands and of `due`, and owners of due holds of wanted tickets.

    Looks at up to `max_due_lines` lines of due carts, and of due orders.
    """
    request = lock_request(commands)
    senders = await look_up_buyers(driver, request)
    for user_id, order_id in due:
        request.user_ids.add(user_id)
        if order_id is not None:
            request.order_ids.add(order_id)
    rows = await driver.fetch(
        LOCK_USERS, sorted(request.user_ids), sorted(request.ticket_type_ids), max_due_lines
    )
    existing = [row[0] for row in rows]
    due_orders = rows[0][1] if rows else 0
    return LockedUsers(
        request,
        set(existing),
        carts=await _read_carts(driver, existing),
        senders=senders,
        are_due_orders_in_the_way=due_orders > 0,
        max_due_lines=max_due_lines,
    )


async def lock_book(driver: Driver, users: LockedUsers, rules: Rules) -> LockedBook:
    """Lock and read all other rows that the commands of these users need.

    The ticket types come last: most batches want the same ones, and the next batch waits here
    until this one has committed. Under their locks the last statement looks for due carts again.
    """
    request = users.request
    emails = await _read_emails(driver, request.emails)
    locked = await read_orders(
        driver, request, users.ids, users.max_due_lines if users.are_due_orders_in_the_way else 0
    )
    in_carts = (cart.lines for cart in users.carts.values())
    ticket_type_ids = request.ticket_type_ids.union(locked.ticket_type_ids, *in_carts)
    event_ids = set(request.event_ids)
    if event_ids:
        await driver.fetch(LOCK_EVENTS, sorted(event_ids))
        rows = await driver.fetch(TICKET_TYPES_OF_EVENTS, sorted(event_ids))
        ticket_type_ids.update([row[0] for row in rows])
    rows = await driver.fetch(LOCK_TICKET_TYPES, sorted(ticket_type_ids))
    ticket_types = {row[0]: TicketType(*row) for row in rows}
    ordered = await read_ordered(driver, request, locked.orders.values(), ticket_types)
    event_ids.update(ticket_type.event_id for ticket_type in ticket_types.values())
    event_ids.update(event_id for _, event_id in request.check_outs.values())
    now, due_holds_remain, events = await _read_events(driver, event_ids, users, locked.orders)
    book = Book(
        now=now,
        rules=rules,
        user_ids=users.ids | users.senders,
        emails=emails,
        events=events,
        ticket_types=ticket_types,
        carts=users.carts,
        orders=locked.orders,
        payments=locked.payments,
        refunds=locked.refunds,
        ordered=ordered,
    )
    return LockedBook(book, due_holds_remain)


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
    driver: Driver, event_ids: set[str], users: LockedUsers, order_ids: Iterable[str]
) -> tuple[datetime, bool, dict[str, Event]]:
    """Return the time, whether due holds remain that are not in the book, and the events.

    The last statement before the decisions sees what other batches committed before they
    released the ticket types. The search for due carts in `lock_users` could not see it.
    """
    rows = await driver.fetch(
        READ_EVENTS,
        sorted(event_ids),
        list(users.ids),
        list(users.request.ticket_type_ids),
        list(order_ids),
    )
    now, due_holds_remain = rows[0][:2]
    return now, due_holds_remain, {row[2]: Event(*row[2:]) for row in rows if row[2] is not None}
