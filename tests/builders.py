"""Builders with defaults: a test names only the fields that it is about.

Everything is on sale from long ago until far ahead, so that the same commands serve on a book
whose clock reads `NOW` and on a database whose clock is real.
"""

import copy
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.bodies import Line
from shared.commands import (
    CancelEvent,
    ChangeEvent,
    ChangeTicketType,
    CreateEvent,
    CreateTicketType,
    EndEvent,
    ExtendHold,
    RegisterUser,
    ReleaseCart,
    ReleaseItem,
    ReserveTickets,
    SetQuantity,
)
from shared.ids import id_at, new_id
from shared.outcomes import encode_outcome
from worker.domain.batch import Batch, RecordedOutcome
from worker.domain.book import Book, Cart, Event, Rules, TicketType
from worker.storage.outcomes import encode

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
"""The time of a book's clock. IDs carry the real time, which is later, so none is stale."""
FAR_AHEAD = datetime(2100, 1, 1, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)
"""The smallest step of the clock: boundaries are tested at it."""

HOLD = timedelta(minutes=10)
COMMAND_WINDOW = timedelta(hours=24)
MAX_HOLD = timedelta(minutes=30)
RULES = Rules(hold=HOLD, max_hold=MAX_HOLD, command_window=COMMAND_WINDOW)

PASSWORD_HASH = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0$c29tZSBoYXNo"


def id_made_at(at: datetime) -> str:
    """A fresh command ID that carries the time `at`."""
    return id_at(int(at.timestamp() * 1000))


# --- commands -------------------------------------------------------------------------------


def register_user(user_id: str | None = None, **fields: Any) -> RegisterUser:
    user_id = user_id or new_id()
    given = {"email": f"{user_id}@example.com", "password_hash": PASSWORD_HASH} | fields
    return RegisterUser(**_envelope(user_id, given), **given)


def create_event(user_id: str, **fields: Any) -> CreateEvent:
    given = {"name": "A concert", "starts_at": LONG_AGO, "ends_at": FAR_AHEAD} | fields
    return CreateEvent(**_envelope(user_id, given), **given)


def change_event(user_id: str, event_id: str, **fields: Any) -> ChangeEvent:
    return ChangeEvent(**_envelope(user_id, fields), event_id=event_id, **fields)


def cancel_event(user_id: str, event_id: str, **fields: Any) -> CancelEvent:
    return CancelEvent(**_envelope(user_id, fields), event_id=event_id, **fields)


def end_event(user_id: str, event_id: str, **fields: Any) -> EndEvent:
    return EndEvent(**_envelope(user_id, fields), event_id=event_id, **fields)


def create_ticket_type(user_id: str, event_id: str, **fields: Any) -> CreateTicketType:
    given = {
        "name": "Standing",
        "total_quantity": 100,
        "sale_starts_at": LONG_AGO,
        "sale_ends_at": FAR_AHEAD,
    } | fields
    return CreateTicketType(**_envelope(user_id, given), event_id=event_id, **given)


def change_ticket_type(user_id: str, ticket_type_id: str, **fields: Any) -> ChangeTicketType:
    envelope = _envelope(user_id, fields)
    return ChangeTicketType(**envelope, ticket_type_id=ticket_type_id, **fields)


def reserve(
    user_id: str, lines: Mapping[str, int] | Iterable[tuple[str, int]], **fields: Any
) -> ReserveTickets:
    """`lines` by ticket type ID, or as pairs where a ticket type comes twice."""
    pairs = lines.items() if isinstance(lines, Mapping) else lines
    items = tuple(Line(ticket_type_id=id, quantity=quantity) for id, quantity in pairs)
    return ReserveTickets(**_envelope(user_id, fields), items=items, **fields)


def set_quantity(user_id: str, ticket_type_id: str, quantity: int, **fields: Any) -> SetQuantity:
    envelope = _envelope(user_id, fields)
    return SetQuantity(**envelope, ticket_type_id=ticket_type_id, quantity=quantity, **fields)


def release_item(user_id: str, ticket_type_id: str, **fields: Any) -> ReleaseItem:
    return ReleaseItem(**_envelope(user_id, fields), ticket_type_id=ticket_type_id, **fields)


def release_cart(user_id: str, **fields: Any) -> ReleaseCart:
    return ReleaseCart(**_envelope(user_id, fields), **fields)


def extend_hold(user_id: str, **fields: Any) -> ExtendHold:
    return ExtendHold(**_envelope(user_id, fields), **fields)


def _envelope(user_id: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    envelope = {"command_id": new_id(), "user_id": user_id, "submitted_at": NOW}
    return {name: value for name, value in envelope.items() if name not in fields}


# --- the content of a book ------------------------------------------------------------------


def an_event(organizer_id: str | None = None, **fields: Any) -> Event:
    given = {
        "id": new_id(),
        "organizer_id": organizer_id or new_id(),
        "name": "A concert",
        "starts_at": LONG_AGO,
        "ends_at": FAR_AHEAD,
        "status": "active",
    } | fields
    return Event(**given)


def a_ticket_type(event: Event, **fields: Any) -> TicketType:
    given = {
        "id": new_id(),
        "event_id": event.id,
        "name": "Standing",
        "total": 100,
        "reserved": 0,
        "sold": 0,
        "sale_starts_at": LONG_AGO,
        "sale_ends_at": FAR_AHEAD,
    } | fields
    return TicketType(**given)


def a_cart(user_id: str, lines: Mapping[str, int], **fields: Any) -> Cart:
    given = {"id": new_id(), "opened_at": NOW, "expires_at": NOW + HOLD} | fields
    return Cart(user_id=user_id, lines=dict(lines), **given)


def a_book(
    *,
    users: Iterable[str] = (),
    emails: Iterable[str] = (),
    events: Iterable[Event] = (),
    ticket_types: Iterable[TicketType] = (),
    carts: Iterable[Cart] = (),
    now: datetime = NOW,
    rules: Rules = RULES,
) -> Book:
    """A book in which the carts' owners exist and the carts' tickets count as reserved.

    What a ticket type has reserved beyond that is held by people whom the book does not show.
    """
    by_id = {ticket_type.id: ticket_type for ticket_type in ticket_types}
    by_user = {cart.user_id: cart for cart in carts}
    for cart in by_user.values():
        for ticket_type_id, quantity in cart.lines.items():
            by_id[ticket_type_id].reserved += quantity
    return Book(
        now=now,
        rules=rules,
        user_ids={*users, *by_user},
        emails=set(emails),
        events={event.id: event for event in events},
        ticket_types=by_id,
        carts=by_user,
    )


def reopened(book: Book, *, now: datetime | None = None) -> Book:
    """The same content as the next transaction would read it: a copy, with nothing changed yet."""
    content = copy.deepcopy(book)
    return Book(
        now=now or book.now,
        rules=book.rules,
        user_ids=content.user_ids,
        emails=content.emails,
        events=content.events,
        ticket_types=content.ticket_types,
        carts=content.carts,
    )


# --- the outcomes of a batch ----------------------------------------------------------------


def documents(batch: Batch) -> list[str]:
    """Return the outcome document of each command of a batch."""
    return [outcome.document for outcome in encode(batch)]


def recorded(batch: Batch) -> dict[str, RecordedOutcome]:
    """Return the outcomes that a later batch recalls of this one, by command ID."""
    return {
        new.command.command_id: RecordedOutcome(
            new.fingerprint, encode_outcome(new.outcome), new.dead_letter
        )
        for new in batch.to_record
    }
