"""Builders with defaults: a test names only the fields that it is about.

Everything is on sale from long ago until far ahead, so that the same commands serve on a book
whose clock reads `NOW` and on a database whose clock is real.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from shared.bodies import Line
from shared.commands import (
    CancelEvent,
    CancelOrder,
    ChangeEvent,
    ChangeTicketType,
    CheckOut,
    CreateEvent,
    CreateTicketType,
    EndEvent,
    ExtendHold,
    ExtendOrder,
    RecordPayment,
    RecordRefund,
    RegisterUser,
    ReleaseCart,
    ReleaseItem,
    ReleaseTickets,
    ReserveTickets,
    SetQuantity,
)
from shared.ids import id_at, new_id
from shared.outcomes import encode_outcome
from worker.domain.batch import Batch, RecordedOutcome
from worker.domain.book import Book, Cart, Event, Rules, TicketType
from worker.domain.order import Order, OrderItem, Payment, Refund
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
PAYMENT = timedelta(minutes=31)
GRACE = timedelta(minutes=5)
RULES = Rules(
    hold=HOLD,
    max_hold=MAX_HOLD,
    payment=PAYMENT,
    payment_grace=GRACE,
    command_window=COMMAND_WINDOW,
)

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
    return ReserveTickets(**_envelope(user_id, fields), items=_lines(lines), **fields)


def set_quantity(user_id: str, ticket_type_id: str, quantity: int, **fields: Any) -> SetQuantity:
    envelope = _envelope(user_id, fields)
    return SetQuantity(**envelope, ticket_type_id=ticket_type_id, quantity=quantity, **fields)


def release_item(user_id: str, ticket_type_id: str, **fields: Any) -> ReleaseItem:
    return ReleaseItem(**_envelope(user_id, fields), ticket_type_id=ticket_type_id, **fields)


def release_cart(user_id: str, **fields: Any) -> ReleaseCart:
    return ReleaseCart(**_envelope(user_id, fields), **fields)


def extend_hold(user_id: str, **fields: Any) -> ExtendHold:
    return ExtendHold(**_envelope(user_id, fields), **fields)


def check_out(user_id: str, event_id: str, **fields: Any) -> CheckOut:
    return CheckOut(**_envelope(user_id, fields), event_id=event_id, **fields)


def record_payment(user_id: str, order_id: str, amount: int, **fields: Any) -> RecordPayment:
    given = {"payment_id": new_id(), "currency": "EUR", "amount": amount} | fields
    return RecordPayment(**_envelope(user_id, given), order_id=order_id, **given)


def record_refund(user_id: str, order_id: str, amount: int, **fields: Any) -> RecordRefund:
    given = {"refund_id": new_id(), "amount": amount} | fields
    return RecordRefund(**_envelope(user_id, given), order_id=order_id, **given)


def release_tickets(
    user_id: str, order_id: str, lines: Mapping[str, int] | Iterable[tuple[str, int]], **fields: Any
) -> ReleaseTickets:
    envelope = _envelope(user_id, fields)
    return ReleaseTickets(**envelope, order_id=order_id, items=_lines(lines), **fields)


def cancel_order(user_id: str, order_id: str, **fields: Any) -> CancelOrder:
    return CancelOrder(**_envelope(user_id, fields), order_id=order_id, **fields)


def extend_order(user_id: str, order_id: str, pay_by: datetime, **fields: Any) -> ExtendOrder:
    return ExtendOrder(**_envelope(user_id, fields), order_id=order_id, pay_by=pay_by, **fields)


def _lines(lines: Mapping[str, int] | Iterable[tuple[str, int]]) -> tuple[Line, ...]:
    pairs = lines.items() if isinstance(lines, Mapping) else lines
    return tuple(Line(ticket_type_id=id, quantity=quantity) for id, quantity in pairs)


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


def an_order(
    event: Event,
    user_id: str,
    lines: Mapping[str, int],
    *,
    unit_price: int = 1_000,
    paid: int = 0,
    refunded: int = 0,
    **fields: Any,
) -> Order:
    """A pending order. One whose status is `paid` has got its total in one payment."""
    status = fields.get("status", "pending_payment")
    is_held = status in ("pending_payment", "paid")
    total = unit_price * sum(lines.values())
    given = {
        "id": new_id(),
        "status": status,
        "currency": event.currency,
        "total": total,
        "created_at": NOW,
        "pay_by": NOW + PAYMENT,
        "held_until": NOW + PAYMENT + GRACE if status == "pending_payment" else None,
        "tickets_value": total if status == "paid" else 0,
    } | fields
    order = Order(event_id=event.id, user_id=user_id, **given)
    for id, quantity in lines.items():
        order.items[id] = OrderItem(
            order_id=order.id,
            ticket_type_id=id,
            user_id=user_id,
            name="Standing",
            quantity=quantity,
            unit_price=unit_price,
            held=quantity if is_held else 0,
            held_until=order.held_until,
            released=quantity if status == "cancelled" else 0,
        )
    if amount := paid or (total if status == "paid" else 0):
        order.payments["P1"] = Payment(event.id, "P1", order.id, 1, amount, "accepted", None, NOW)
        order.paid = order.accepted = amount
    if refunded:
        order.refunds["R1"] = Refund(event.id, "R1", order.id, 1, refunded, NOW)
        order.refunded = refunded
    return order


def a_book(
    *,
    users: Iterable[str] = (),
    emails: Iterable[str] = (),
    events: Iterable[Event] = (),
    ticket_types: Iterable[TicketType] = (),
    carts: Iterable[Cart] = (),
    orders: Iterable[Order] = (),
    now: datetime = NOW,
    rules: Rules = RULES,
) -> Book:
    """A book in which owners of carts and orders exist, and their tickets are reserved or sold.

    What a ticket type has reserved beyond that is held by people whom the book does not show.
    """
    by_id = {ticket_type.id: ticket_type for ticket_type in ticket_types}
    by_user = {cart.user_id: cart for cart in carts}
    for cart in by_user.values():
        for ticket_type_id, quantity in cart.lines.items():
            by_id[ticket_type_id].reserved += quantity
    orders = list(orders)
    for order in orders:
        for ticket_type_id, item in order.items.items():
            if order.status == "paid":
                by_id[ticket_type_id].sold += item.held
            else:
                by_id[ticket_type_id].reserved += item.held
    return Book(
        now=now,
        rules=rules,
        user_ids={*users, *by_user, *(order.user_id for order in orders)},
        emails=set(emails),
        events={event.id: event for event in events},
        ticket_types=by_id,
        carts=by_user,
        **_orders(orders),
    )


def _orders(orders: Iterable[Order]) -> dict[str, Any]:
    """What a book has of orders."""
    orders = list(orders)
    ordered: Counter[tuple[str, str]] = Counter()
    for order in orders:
        ordered.update({(order.user_id, id): item.held for id, item in order.items.items()})
    return {
        "orders": {order.id: order for order in orders},
        "payments": {
            (one.event_id, one.payment_id): one
            for order in orders
            for one in order.payments.values()
        },
        "refunds": {
            (one.event_id, one.refund_id): one for order in orders for one in order.refunds.values()
        },
        "ordered": ordered,
    }


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
        **_orders(content.orders.values()),
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
