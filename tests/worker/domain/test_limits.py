"""How many tickets of a type a cart and a user may have."""

from typing import Any

import pytest

from shared.ids import new_id
from shared.refusals import InsufficientAvailability, LimitExceeded
from tests.builders import (
    a_book,
    a_cart,
    a_ticket_type,
    an_event,
    an_order,
    reserve,
    set_quantity,
)
from worker.domain.book import Book
from worker.domain.decide import decide

BUYER, TICKETS = new_id(), new_id()


def holding(quantity: int, **limits: Any) -> Book:
    """The buyer holds `quantity` tickets; 100 more are available."""
    event = an_event()
    tickets = a_ticket_type(event, id=TICKETS, total=100 + quantity, **limits)
    carts = [a_cart(BUYER, {TICKETS: quantity})] if quantity else []
    return a_book(users=[BUYER], events=[event], ticket_types=[tickets], carts=carts)


@pytest.mark.parametrize(
    ("limits", "held", "more", "refusal"),
    [
        ({"max_per_order": 4}, 0, 4, None),
        ({"max_per_order": 4}, 0, 5, ("order", 4, 5)),
        ({"max_per_order": 4}, 3, 1, None),
        ({"max_per_order": 4}, 3, 2, ("order", 4, 5)),
        ({"max_per_user": 4}, 3, 1, None),
        ({"max_per_user": 4}, 3, 2, ("user", 4, 5)),
        ({"max_per_order": 4, "max_per_user": 4}, 3, 2, ("order", 4, 5)),
        ({"max_per_order": 5, "max_per_user": 4}, 3, 2, ("user", 4, 5)),
        ({"max_per_order": 2}, 3, 1, ("order", 2, 4)),
        ({}, 3, 50, None),
    ],
)
def test_a_cart_holds_as_many_as_its_limits_allow(
    limits: dict[str, int], held: int, more: int, refusal: tuple[Any, int, int] | None
) -> None:
    book = holding(held, **limits)
    other = holding(held, **limits)

    decisions = [
        decide(book, reserve(BUYER, {TICKETS: more})),
        decide(other, set_quantity(BUYER, TICKETS, held + more)),
    ]

    for decision in decisions:
        if refusal is None:
            assert decision.cart.items[0].quantity == held + more
        else:
            limit, allowed, requested = refusal
            assert decision == LimitExceeded(TICKETS, limit, allowed, requested)


@pytest.mark.parametrize("status", ["pending_payment", "paid"])
def test_what_a_user_has_ordered_counts_for_the_limit_of_a_user(status: str) -> None:
    event = an_event()
    tickets = a_ticket_type(event, id=TICKETS, total=100, max_per_user=4)
    order = an_order(event, BUYER, {TICKETS: 3}, status=status)
    book = a_book(users=[BUYER], events=[event], ticket_types=[tickets], orders=[order])

    refusal = decide(book, reserve(BUYER, {TICKETS: 2}))

    assert refusal == LimitExceeded(TICKETS, "user", 4, 5)
    assert decide(book, reserve(BUYER, {TICKETS: 1})).cart.items[0].quantity == 1


def test_lines_of_one_ticket_type_count_together() -> None:
    book = holding(0, max_per_order=3)

    decision = decide(book, reserve(BUYER, [(TICKETS, 2), (TICKETS, 2)]))

    assert decision == LimitExceeded(TICKETS, "order", allowed=3, requested=4)


@pytest.mark.parametrize("quantity", [0, 1, 4, 5])
def test_a_line_above_its_limit_can_be_lowered_and_kept(quantity: int) -> None:
    book = holding(5, max_per_order=2, max_per_user=2)

    result = decide(book, set_quantity(BUYER, TICKETS, quantity))

    assert sum(item.quantity for item in result.cart.items) == quantity


def test_a_limit_is_checked_before_what_is_available() -> None:
    event = an_event()
    tickets = a_ticket_type(event, id=TICKETS, total=1, max_per_order=2)
    book = a_book(users=[BUYER], events=[event], ticket_types=[tickets])

    assert decide(book, reserve(BUYER, {TICKETS: 3})).code == "limit_exceeded"
    assert decide(book, reserve(BUYER, {TICKETS: 2})) == InsufficientAvailability(TICKETS, 2, 1)
