"""Checking out, cancelling, releasing and extending: what is refused, in order of precedence."""

from datetime import timedelta
from typing import Any

import pytest

from shared.bodies import MAX_QUANTITY
from shared.ids import new_id
from shared.orders import MAX_OPEN_ORDERS
from shared.outcomes import OrderResult
from shared.refusals import (
    EventCancelled,
    EventEnded,
    EventNotFound,
    MinimumNotReached,
    MoreThanDue,
    MoreThanHeld,
    NothingToCheckOut,
    NotTheOrganizer,
    OrderNotFound,
    OrderNotPaid,
    OrderNotPending,
    PriceChanged,
    Refusal,
    TooManyOpenOrders,
    Unprocessable,
)
from tests.builders import (
    GRACE,
    NOW,
    PAYMENT,
    a_book,
    a_cart,
    a_ticket_type,
    an_event,
    an_order,
    cancel_order,
    check_out,
    extend_order,
    release_tickets,
)
from worker.domain.batch import decide_batch
from worker.domain.book import Book
from worker.domain.decide import Decision, decide

ORGANIZER, AGENT, BUYER, STRANGER = (new_id() for _ in range(4))
EVENT, OTHER_EVENT, SEATS, STANDING, OTHER_SEATS = (new_id() for _ in range(5))
PRICE = 1_000


def stage(
    *orders: Any,
    cart: dict[str, int] | None = None,
    event: dict[str, Any] | None = None,
    **seats: Any,
) -> Book:
    concert = an_event(ORGANIZER, id=EVENT, payment_agent_id=AGENT, **(event or {}))
    other = an_event(ORGANIZER, id=OTHER_EVENT)
    return a_book(
        users=[ORGANIZER, AGENT, BUYER, STRANGER],
        events=[concert, other],
        ticket_types=[
            a_ticket_type(concert, **{"id": SEATS, "total": 20, "unit_price": PRICE} | seats),
            a_ticket_type(concert, id=STANDING, total=20, unit_price=1),
            a_ticket_type(other, id=OTHER_SEATS, total=20),
        ],
        carts=[a_cart(BUYER, cart)] if cart else [],
        orders=[an_order(concert, BUYER, lines, **fields) for lines, fields in orders],
    )


def order_of(decision: Decision) -> Any:
    assert isinstance(decision, OrderResult), decision
    return decision.order


def ids(book: Book) -> list[str]:
    return list(book.orders)


# --- checking out -----------------------------------------------------------------------------

ENDED, CANCELLED = {"status": "ended"}, {"status": "cancelled"}
MANY: list[Any] = [({SEATS: 1}, {})] * MAX_OPEN_ORDERS


@pytest.mark.parametrize(
    ("orders", "cart", "event", "min_per_order", "event_id", "total", "refusal"),
    [
        (MANY, {SEATS: 1}, ENDED, 2, new_id(), 1, EventNotFound),
        (MANY, None, ENDED, 2, EVENT, 1, NothingToCheckOut),
        (MANY, {OTHER_SEATS: 1}, ENDED, 2, EVENT, 1, NothingToCheckOut),
        (MANY, {SEATS: 1}, ENDED, 2, EVENT, 1, EventEnded),
        (MANY, {SEATS: 1}, CANCELLED, 2, EVENT, 1, EventCancelled),
        (MANY, {SEATS: 1}, {}, 2, EVENT, 1, TooManyOpenOrders),
        (MANY[1:], {SEATS: 1}, {}, 2, EVENT, 1, MinimumNotReached),
        (MANY[1:], {SEATS: 1}, {}, 1, EVENT, 1, PriceChanged),
        (MANY[1:], {SEATS: 1}, {}, 1, EVENT, PRICE, None),
        (MANY[1:], {SEATS: 1}, {}, 1, EVENT, None, None),
    ],
)
def test_checking_out_is_refused_in_order_of_precedence(
    orders: Any, cart: Any, event: Any, min_per_order: int, event_id: str, total: Any, refusal: Any
) -> None:
    book = stage(*orders, cart=cart, event=event, min_per_order=min_per_order)
    reserved = book.ticket_types[SEATS].reserved

    decision = decide(book, check_out(BUYER, event_id, expected_total=total))

    if refusal is None:
        assert order_of(decision).status == "pending_payment"
    else:
        assert isinstance(decision, refusal)
        assert len(book.orders) == len(orders)
    assert book.ticket_types[SEATS].reserved == reserved


def test_an_order_takes_the_lines_of_its_event_at_their_price_of_the_moment() -> None:
    book = stage(cart={SEATS: 2, STANDING: 3, OTHER_SEATS: 4})
    book.ticket_types[SEATS].unit_price = 7

    order = order_of(decide(book, check_out(BUYER, EVENT)))

    assert order.total == 2 * 7 + 3 * 1
    assert {item.ticket_type_id: item.unit_price for item in order.items} == {SEATS: 7, STANDING: 1}
    assert (order.created_at, order.pay_by) == (NOW, NOW + PAYMENT)
    assert book.orders[order.id].held_until == NOW + PAYMENT + GRACE
    assert book.carts[BUYER].lines == {OTHER_SEATS: 4}


def test_a_cart_whose_lines_all_become_an_order_is_checked_out() -> None:
    book = stage(cart={SEATS: 2})
    cart = book.carts[BUYER]

    decide(book, check_out(BUYER, EVENT))

    assert (cart.status, book.carts) == ("checked_out", {})


def test_an_order_that_costs_nothing_is_sold_at_once() -> None:
    book = stage(cart={SEATS: 2}, unit_price=0)

    assert order_of(decide(book, check_out(BUYER, EVENT))).status == "paid"

    assert (book.ticket_types[SEATS].reserved, book.ticket_types[SEATS].sold) == (0, 2)


def test_an_order_that_is_over_does_not_count_for_the_open_orders() -> None:
    over = ({SEATS: 1}, {"held_until": NOW})
    book = stage(*[over] * MAX_OPEN_ORDERS, cart={SEATS: 1})

    batch = decide_batch(book, [check_out(BUYER, EVENT)], {})

    assert batch.to_record[0].outcome.status == "succeeded"


def test_the_limit_of_a_user_may_be_lowered_below_what_the_cart_has() -> None:
    book = stage(cart={SEATS: 5}, max_per_user=1, max_per_order=1)

    assert order_of(decide(book, check_out(BUYER, EVENT))).items[0].quantity == 5


# --- cancelling -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "status", "keep", "refusal"),
    [
        (STRANGER, "cancelled", 1, OrderNotFound),
        (AGENT, "cancelled", 1, NotTheOrganizer),
        (BUYER, "cancelled", 1, NotTheOrganizer),
        (BUYER, "paid", None, OrderNotPending),
        (BUYER, "expired", None, OrderNotPending),
        (ORGANIZER, "expired", 1, OrderNotPending),
        (ORGANIZER, "cancelled", 1, OrderNotPending),
        (ORGANIZER, "pending_payment", 1, MoreThanDue),
        (ORGANIZER, "paid", 2 * PRICE + 1, MoreThanDue),
        (ORGANIZER, "paid", 2 * PRICE, None),
        (ORGANIZER, "pending_payment", 0, None),
        (BUYER, "pending_payment", None, None),
    ],
)
def test_cancelling_an_order_is_refused_in_order_of_precedence(
    sender: str, status: str, keep: int | None, refusal: type[Refusal] | None
) -> None:
    book = stage(({SEATS: 2}, {"status": status}))
    before = (book.ticket_types[SEATS].reserved, book.ticket_types[SEATS].sold)

    decision = decide(book, cancel_order(sender, ids(book)[0], keep_amount=keep))

    after = (book.ticket_types[SEATS].reserved, book.ticket_types[SEATS].sold)
    if refusal is None:
        order = order_of(decision)
        assert (order.status, order.kept) == ("cancelled", keep or 0)
        assert order.refund_due == order.paid - order.kept
        assert after == (0, 0)
    else:
        assert isinstance(decision, refusal)
        assert after == before


def test_an_order_that_does_not_exist_is_not_found() -> None:
    absent = new_id()
    assert decide(stage(), cancel_order(ORGANIZER, absent)) == OrderNotFound(absent)


# --- releasing --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "status", "lines", "keep", "refusal"),
    [
        (STRANGER, "expired", {STANDING: 1}, 10**9, OrderNotFound),
        (BUYER, "expired", {STANDING: 1}, 10**9, NotTheOrganizer),
        (AGENT, "expired", {STANDING: 1}, 10**9, NotTheOrganizer),
        (ORGANIZER, "pending_payment", {STANDING: 1}, 10**9, OrderNotPaid),
        (ORGANIZER, "expired", {STANDING: 1}, 10**9, OrderNotPaid),
        (ORGANIZER, "paid", {STANDING: 1}, 10**9, MoreThanHeld),
        (ORGANIZER, "paid", {SEATS: 3}, 10**9, MoreThanHeld),
        (ORGANIZER, "paid", {SEATS: 1}, PRICE + 1, MoreThanDue),
        (ORGANIZER, "paid", {SEATS: 1}, PRICE, None),
        (ORGANIZER, "paid", {SEATS: 2}, None, None),
    ],
)
def test_releasing_tickets_is_refused_in_order_of_precedence(
    sender: str, status: str, lines: Any, keep: int | None, refusal: type[Refusal] | None
) -> None:
    book = stage(({SEATS: 2}, {"status": status}))
    sold = book.ticket_types[SEATS].sold

    decision = decide(book, release_tickets(sender, ids(book)[0], lines, keep_amount=keep))

    if refusal is None:
        order = order_of(decision)
        assert book.ticket_types[SEATS].sold == sold - lines[SEATS]
        assert order.status == ("cancelled" if lines[SEATS] == 2 else "paid")
        assert order.refund_due == lines[SEATS] * PRICE - (keep or 0)
    else:
        assert isinstance(decision, refusal)
        assert book.ticket_types[SEATS].sold == sold


def test_lines_of_one_ticket_type_are_released_together() -> None:
    book = stage(({SEATS: 2}, {"status": "paid"}))
    lines = [(SEATS, 1), (SEATS, 1), (SEATS, MAX_QUANTITY)]

    assert decide(book, release_tickets(ORGANIZER, ids(book)[0], lines)) == MoreThanHeld(SEATS)
    order = order_of(decide(book, release_tickets(ORGANIZER, ids(book)[0], lines[:2])))
    assert order.items[0].released == 2


# --- extending --------------------------------------------------------------------------------

LATER = NOW + PAYMENT + timedelta(days=1)


@pytest.mark.parametrize(
    ("sender", "status", "pay_by", "refusal"),
    [
        (STRANGER, "expired", NOW, OrderNotFound),
        (BUYER, "expired", NOW, NotTheOrganizer),
        (AGENT, "expired", NOW, NotTheOrganizer),
        (ORGANIZER, "expired", NOW, OrderNotPending),
        (ORGANIZER, "paid", NOW, OrderNotPending),
        (ORGANIZER, "pending_payment", NOW + PAYMENT, Unprocessable),
        (ORGANIZER, "pending_payment", NOW + timedelta(days=90, seconds=1), Unprocessable),
        (ORGANIZER, "pending_payment", NOW + timedelta(days=90), None),
        (ORGANIZER, "pending_payment", LATER, None),
    ],
)
def test_extending_an_order_is_refused_in_order_of_precedence(
    sender: str, status: str, pay_by: Any, refusal: type[Refusal] | None
) -> None:
    book = stage(({SEATS: 2}, {"status": status}))

    decision = decide(book, extend_order(sender, ids(book)[0], pay_by))

    if refusal is None:
        assert order_of(decision).pay_by == pay_by
        (order,) = book.orders.values()
        assert order.held_until == order.items[SEATS].held_until == pay_by + GRACE
    else:
        assert isinstance(decision, refusal)


# --- what becomes of it by itself -------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "status"), [(-1, "pending_payment"), (0, "expired")])
def test_an_order_expires_when_its_hold_is_over(seconds: int, status: str) -> None:
    book = stage(({SEATS: 2}, {}))
    book.now = NOW + PAYMENT + GRACE + timedelta(seconds=seconds)

    decide_batch(book, [], {})

    (order,) = book.orders.values()
    assert order.status == status
    assert book.ticket_types[SEATS].reserved == (0 if status == "expired" else 2)
    assert order.items[SEATS].released == 0


@pytest.mark.parametrize("status", ["pending_payment", "paid"])
def test_an_order_of_a_cancelled_event_is_cancelled(status: str) -> None:
    book = stage(({SEATS: 2}, {"status": status}), event=CANCELLED)

    decide_batch(book, [], {})

    (order,) = book.orders.values()
    assert order.status == "cancelled"
    assert order.refund_due == order.paid
    assert (book.ticket_types[SEATS].reserved, book.ticket_types[SEATS].sold) == (0, 0)
