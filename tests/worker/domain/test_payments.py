"""Payments and refunds: facts that are recorded, and what they can buy."""

from datetime import timedelta
from typing import Any

import pytest

from shared.orders import MAX_PAYMENTS, MAX_REFUNDS
from shared.outcomes import OrderResult, PaymentResult
from shared.refusals import (
    CurrencyMismatch,
    MoreThanDue,
    NotThePaymentAgent,
    OrderFull,
    OrderNotFound,
    PaymentIdReused,
    Refusal,
)
from tests.builders import NOW, a_cart, cancel_event, record_payment, record_refund
from tests.worker.domain.test_ordering import (
    AGENT,
    BUYER,
    CANCELLED,
    ENDED,
    ORGANIZER,
    PRICE,
    SEATS,
    STRANGER,
    ids,
    stage,
)
from worker.domain.batch import decide_batch
from worker.domain.book import Book
from worker.domain.decide import Decision, decide

TOTAL = 2 * PRICE


def paying(decision: Decision) -> PaymentResult:
    assert isinstance(decision, PaymentResult), decision
    return decision


def counts(book: Book) -> tuple[int, int]:
    return book.ticket_types[SEATS].reserved, book.ticket_types[SEATS].sold


def filled_with_payments(book: Book) -> Book:
    for _ in range(MAX_PAYMENTS):
        paying(decide(book, record_payment(AGENT, ids(book)[0], 1)))
    return book


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sender", "payment_id", "amount", "currency", "refusal"),
    [
        (STRANGER, "P1", 1, "USD", OrderNotFound),
        (BUYER, "P1", 1, "USD", NotThePaymentAgent),
        (ORGANIZER, "P1", 1, "USD", NotThePaymentAgent),
        (AGENT, "P1", 1, "EUR", PaymentIdReused),
        (AGENT, "P1", TOTAL, "USD", PaymentIdReused),
        (AGENT, "P1", TOTAL, "EUR", None),
        (AGENT, "P2", 1, "USD", CurrencyMismatch),
        (AGENT, "P2", 1, "EUR", None),
    ],
)
def test_a_payment_is_refused_in_order_of_precedence(
    sender: str, payment_id: str, amount: int, currency: str, refusal: type[Refusal] | None
) -> None:
    book = stage(({SEATS: 2}, {"status": "paid"}))
    order_id = ids(book)[0]
    command = record_payment(sender, order_id, amount, payment_id=payment_id, currency=currency)

    decision = decide(book, command)

    if refusal is None:
        assert paying(decision).payment.payment_id == payment_id
    else:
        assert isinstance(decision, refusal)
        assert book.changes.new_payments == []


def test_an_order_takes_only_so_many_payments() -> None:
    book = filled_with_payments(stage(({SEATS: 2}, {})))

    assert decide(book, record_payment(AGENT, ids(book)[0], 1)) == OrderFull(MAX_PAYMENTS)


def test_a_payment_id_is_of_the_event_and_not_of_the_order() -> None:
    book = stage(({SEATS: 2}, {"status": "paid"}), ({SEATS: 1}, {}))

    decision = decide(book, record_payment(AGENT, ids(book)[1], TOTAL, payment_id="P1"))

    assert decision == PaymentIdReused()


@pytest.mark.parametrize("status", ["paid", "cancelled", "expired"])
def test_a_payment_that_is_told_again_gets_the_same_answer_whatever_the_order_became(
    status: str,
) -> None:
    book = stage(({SEATS: 2}, {"status": status, "paid": TOTAL}))

    again = paying(decide(book, record_payment(AGENT, ids(book)[0], TOTAL, payment_id="P1")))

    assert (again.payment.disposition, again.order.paid) == ("accepted", TOTAL)
    assert book.changes.new_payments == []


@pytest.mark.parametrize(
    ("sender", "refund_id", "amount", "refusal"),
    [
        (STRANGER, "R1", 1, OrderNotFound),
        (BUYER, "R1", 1, NotThePaymentAgent),
        (ORGANIZER, "R1", 1, NotThePaymentAgent),
        (AGENT, "R1", 1, PaymentIdReused),
        (AGENT, "R1", 700, None),
        (AGENT, "R2", TOTAL - 700 + 1, MoreThanDue),
        (AGENT, "R2", TOTAL - 700, None),
    ],
)
def test_a_refund_is_refused_in_order_of_precedence(
    sender: str, refund_id: str, amount: int, refusal: type[Refusal] | None
) -> None:
    book = stage(({SEATS: 2}, {"status": "cancelled", "paid": TOTAL, "refunded": 700}))
    command = record_refund(sender, ids(book)[0], amount, refund_id=refund_id)

    decision = decide(book, command)

    if refusal is None:
        assert isinstance(decision, OrderResult)
        assert decision.order.refunded == (700 if refund_id == "R1" else TOTAL)
    else:
        assert isinstance(decision, refusal)
        assert book.changes.new_refunds == []


def test_an_order_takes_only_so_many_refunds() -> None:
    book = stage(({SEATS: 2}, {"status": "cancelled", "paid": TOTAL}))
    for _ in range(MAX_REFUNDS):
        decide(book, record_refund(AGENT, ids(book)[0], 1))

    assert decide(book, record_refund(AGENT, ids(book)[0], 1)) == OrderFull(MAX_REFUNDS)


# --- what a payment buys ----------------------------------------------------------------------


@pytest.mark.parametrize("amounts", [[TOTAL], [1, TOTAL - 1], [TOTAL - 1, 1], [TOTAL + 5]])
def test_an_order_is_paid_once_its_payments_reach_the_total(amounts: list[int]) -> None:
    book = stage(({SEATS: 2}, {}))
    told = []
    for amount in amounts:
        result = paying(decide(book, record_payment(AGENT, ids(book)[0], amount)))
        told.append((result.payment.disposition, result.order.status))

    pending = [("accepted", "pending_payment")] * (len(amounts) - 1)
    assert told == [*pending, ("accepted", "paid")]
    assert result.order.refund_due == sum(amounts) - TOTAL
    assert counts(book) == (0, 2)


@pytest.mark.parametrize(
    ("status", "event", "reason"),
    [
        ("paid", {}, "already_paid"),
        ("cancelled", {}, "order_cancelled"),
        ("pending_payment", CANCELLED, "event_cancelled"),
        ("paid", CANCELLED, "event_cancelled"),
        ("expired", CANCELLED, "event_cancelled"),
        ("expired", ENDED, "order_expired"),
        ("expired", {}, None),
        ("pending_payment", ENDED, None),
        ("pending_payment", {}, None),
    ],
)
def test_what_a_payment_cannot_buy_is_surplus_and_due_back(
    status: str, event: dict[str, str], reason: str | None
) -> None:
    book = stage(({SEATS: 2}, {"status": status}), event=event)
    earlier = next(iter(book.orders.values())).paid

    result = paying(decide(book, record_payment(AGENT, ids(book)[0], TOTAL)))

    assert result.payment.reason == reason
    assert result.payment.disposition == ("surplus" if reason else "accepted")
    assert result.order.paid == earlier + TOTAL
    if reason is None:
        assert (result.order.status, result.order.refund_due) == ("paid", 0)
        assert counts(book) == (0, 2)
    else:
        in_tickets = TOTAL if result.order.status == "paid" else 0
        assert result.order.refund_due == earlier + TOTAL - in_tickets


@pytest.mark.parametrize(
    ("available", "max_per_user", "in_cart", "amount", "reason"),
    [
        (2, None, 0, TOTAL, None),
        (1, None, 0, TOTAL, "order_expired"),
        (2, None, 0, TOTAL - 1, "order_expired"),
        (9, 2, 0, TOTAL, None),
        (9, 1, 0, TOTAL, "order_expired"),
        (9, 3, 1, TOTAL, None),
        (9, 3, 2, TOTAL, "order_expired"),
    ],
)
def test_a_late_payment_buys_where_all_of_the_order_is_still_to_be_had(
    available: int, max_per_user: int | None, in_cart: int, amount: int, reason: str | None
) -> None:
    total = available + in_cart
    book = stage(({SEATS: 2}, {"status": "expired"}), total=total, max_per_user=max_per_user)
    if in_cart:
        book.carts[BUYER] = a_cart(BUYER, {SEATS: in_cart})
        book.ticket_types[SEATS].reserved += in_cart

    result = paying(decide(book, record_payment(AGENT, ids(book)[0], amount)))

    assert result.payment.reason == reason
    assert result.order.status == ("expired" if reason else "paid")
    assert counts(book) == (in_cart, 0 if reason else 2)


def test_a_late_payment_does_not_buy_what_another_buyer_holds() -> None:
    other = "0a000000-0000-7000-8000-000000000000"
    book = stage(({SEATS: 2}, {"status": "expired"}), total=2)
    book.carts[other] = a_cart(other, {SEATS: 1})
    book.ticket_types[SEATS].reserved += 1

    result = paying(decide(book, record_payment(AGENT, ids(book)[0], TOTAL)))

    assert result.payment.reason == "order_expired"
    assert counts(book) == (1, 0)


def test_a_payment_at_the_end_of_the_hold_gets_its_tickets_before_a_newcomer() -> None:
    """The order expires with the batch, and its payment is decided before the newcomer."""
    book = stage(({SEATS: 2}, {"held_until": NOW}), total=2)

    batch = decide_batch(book, [record_payment(AGENT, ids(book)[0], TOTAL)], {})

    result = batch.to_record[0].outcome.result
    assert isinstance(result, PaymentResult)
    assert result.order.status == "paid"
    assert counts(book) == (0, 2)


def test_an_order_is_paid_at_the_price_of_its_check_out() -> None:
    book = stage(({SEATS: 2}, {}))
    book.ticket_types[SEATS].unit_price = PRICE - 1

    result = paying(decide(book, record_payment(AGENT, ids(book)[0], TOTAL)))

    assert (result.order.status, result.order.refund_due) == ("paid", 0)


@pytest.mark.parametrize("held_until", [NOW + timedelta(minutes=1), NOW])
def test_an_order_that_is_paid_or_expired_is_held_until_no_time(held_until: Any) -> None:
    """Else the sweep finds it due, again and again."""
    book = stage(({SEATS: 2}, {"held_until": held_until}))
    (order,) = book.orders.values()

    decide_batch(
        book, [record_payment(AGENT, order.id, TOTAL - 1 if held_until == NOW else TOTAL)], {}
    )

    assert order.status == ("expired" if held_until == NOW else "paid")
    assert (order.held_until, order.items[SEATS].held_until) == (None, None)


def test_what_was_refunded_does_not_pay_an_order() -> None:
    book = stage(({SEATS: 2}, {}))
    order_id = ids(book)[0]
    decide(book, record_payment(AGENT, order_id, TOTAL - 1))
    decide(book, record_refund(AGENT, order_id, TOTAL - 1))

    result = paying(decide(book, record_payment(AGENT, order_id, 1)))

    assert result.order.status == "pending_payment"


def test_an_order_of_an_event_cancelled_in_the_same_batch_is_not_paid() -> None:
    book = stage(({SEATS: 2}, {}))
    commands: list[Any] = [
        cancel_event(ORGANIZER, next(iter(book.orders.values())).event_id),
        record_payment(AGENT, ids(book)[0], TOTAL),
    ]

    batch = decide_batch(book, commands, {})

    result = batch.to_record[1].outcome.result
    assert isinstance(result, PaymentResult)
    assert (result.payment.reason, result.order.status) == ("event_cancelled", "cancelled")
    assert counts(book) == (0, 0)


def test_the_clock_of_a_payment_is_the_database_s() -> None:
    book = stage(({SEATS: 2}, {}))
    book.now = NOW + timedelta(seconds=3)

    result = paying(decide(book, record_payment(AGENT, ids(book)[0], TOTAL)))

    assert result.order.payments[0].at == NOW + timedelta(seconds=3)
