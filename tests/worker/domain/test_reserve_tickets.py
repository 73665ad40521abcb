"""Reserving: who is refused and why, and what is in the cart afterwards."""

from collections.abc import Mapping
from typing import Any

import pytest

from shared.bodies import MAX_CART_LINES, MAX_QUANTITY
from shared.ids import new_id
from shared.outcomes import CartItem
from shared.refusals import (
    CartFull,
    EventCancelled,
    EventEnded,
    InsufficientAvailability,
    LineTooLarge,
    SaleEnded,
    SaleNotStarted,
    TicketTypeNotFound,
)
from tests.builders import A_MOMENT, HOLD, NOW, a_book, a_cart, a_ticket_type, an_event, reserve
from worker.domain.book import Book, TicketType
from worker.domain.decide import decide

BUYER, NEIGHBOUR = new_id(), new_id()
TICKETS = new_id()
UNKNOWN = new_id()

# Each row breaks one rule, in the order in which the rules are checked.
REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"asked": UNKNOWN}, "ticket_type_not_found"),
    ({"ends_at": NOW}, "event_ended"),
    ({"status": "cancelled"}, "event_cancelled"),
    ({"sale_starts_at": NOW + A_MOMENT}, "sale_not_started"),
    ({"sale_ends_at": NOW}, "sale_ended"),
    ({"max_per_order": 1}, "limit_exceeded"),
    ({"sold": 99}, "insufficient_availability"),
]


def decide_for_two(faults: Mapping[str, Any]) -> tuple[Book, Any]:
    """Reserve two of a hundred tickets, with `faults` in the way."""
    faults = dict(faults)
    asked = faults.pop("asked", TICKETS)
    event = an_event(**{k: faults.pop(k) for k in ("ends_at", "status") if k in faults})
    ticket_type = a_ticket_type(event, id=TICKETS, **faults)
    book = a_book(users=[BUYER], events=[event], ticket_types=[ticket_type])
    return book, decide(book, reserve(BUYER, {asked: 2}))


@pytest.mark.parametrize(("fault", "expected"), REFUSALS)
def test_each_rule_refuses_alone(fault: dict[str, Any], expected: str) -> None:
    book, decision = decide_for_two(fault)

    assert decision.code == expected
    assert book.carts == {}
    assert book.changes.changed_ticket_types == {}


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_of_several_broken_rules_the_first_is_named(first: int) -> None:
    faults: dict[str, Any] = {}
    for fault, _ in REFUSALS[first:]:
        faults |= fault

    _, decision = decide_for_two(faults)

    assert decision.code == REFUSALS[first][1]


@pytest.mark.parametrize(
    "boundary",
    [
        {"ends_at": NOW + A_MOMENT},
        {"sale_starts_at": NOW},
        {"sale_ends_at": NOW + A_MOMENT},
        {"sold": 98},
        {"reserved": 98},
        {"reserved": 49, "sold": 49},
        {"max_per_order": 2, "max_per_user": 2},
    ],
)
def test_at_the_last_moment_and_for_the_last_ticket_nothing_refuses(
    boundary: dict[str, Any],
) -> None:
    book, _ = decide_for_two(boundary)

    assert book.carts[BUYER].lines == {TICKETS: 2}


def test_an_event_that_was_ended_refuses_before_its_time_is_over() -> None:
    _, decision = decide_for_two({"status": "ended"})

    assert decision.code == "event_ended"


def test_a_refusal_names_its_reason() -> None:
    event = an_event()
    soon, past = NOW + A_MOMENT, NOW - A_MOMENT
    ended, cancelled = an_event(status="ended"), an_event(status="cancelled")
    cases = [
        (a_ticket_type(ended), lambda t: EventEnded(ended.id)),
        (a_ticket_type(cancelled), lambda t: EventCancelled(cancelled.id)),
        (a_ticket_type(event, sale_starts_at=soon), lambda t: SaleNotStarted(t.id, soon)),
        (a_ticket_type(event, sale_ends_at=past), lambda t: SaleEnded(t.id, past)),
        (
            a_ticket_type(event, total=10, reserved=5, sold=2),
            lambda t: InsufficientAvailability(t.id, requested=4, available=3),
        ),
    ]
    book = a_book(
        users=[BUYER],
        events=[event, ended, cancelled],
        ticket_types=[ticket_type for ticket_type, _ in cases],
    )
    for ticket_type, refusal in cases:
        assert decide(book, reserve(BUYER, {ticket_type.id: 4})) == refusal(ticket_type)
    assert decide(book, reserve(BUYER, {UNKNOWN: 1})) == TicketTypeNotFound(UNKNOWN)


def on_sale(*totals: int) -> tuple[Book, list[TicketType]]:
    event = an_event()
    ticket_types = [a_ticket_type(event, total=total) for total in totals]
    return a_book(users=[BUYER], events=[event], ticket_types=ticket_types), ticket_types


def test_the_first_hold_opens_a_cart_under_the_commands_id() -> None:
    book, (standing,) = on_sale(10)
    command = reserve(BUYER, {standing.id: 3})

    result = decide(book, command)

    assert result.cart.id == command.command_id
    assert result.cart.status == "active"
    assert result.cart.expires_at == NOW + HOLD
    assert result.cart.items == [CartItem(standing.id, standing.event_id, 3)]
    assert (standing.reserved, standing.available) == (3, 7)


def test_a_later_hold_joins_the_cart_and_moves_neither_its_id_nor_its_expiry() -> None:
    event = an_event()
    standing, seated = a_ticket_type(event), a_ticket_type(event)
    cart = a_cart(BUYER, {standing.id: 1}, expires_at=NOW + A_MOMENT)
    book = a_book(events=[event], ticket_types=[standing, seated], carts=[cart])

    result = decide(book, reserve(BUYER, {standing.id: 2, seated.id: 4}))

    assert (result.cart.id, result.cart.expires_at) == (cart.id, NOW + A_MOMENT)
    assert book.carts[BUYER].lines == {standing.id: 3, seated.id: 4}
    assert (standing.reserved, seated.reserved) == (3, 4)


def test_all_lines_are_held_or_none() -> None:
    book, (plenty, scarce) = on_sale(100, 1)

    decision = decide(book, reserve(BUYER, {plenty.id: 2, scarce.id: 2}))

    assert decision == InsufficientAvailability(scarce.id, requested=2, available=1)
    assert (plenty.reserved, scarce.reserved) == (0, 0)
    assert book.carts == {}


def test_lines_of_one_ticket_type_count_together() -> None:
    book, (scarce,) = on_sale(3)

    decision = decide(book, reserve(BUYER, [(scarce.id, 2), (scarce.id, 2)]))
    assert decision == InsufficientAvailability(scarce.id, requested=4, available=3)

    result = decide(book, reserve(BUYER, [(scarce.id, 2), (scarce.id, 1)]))
    assert [item.quantity for item in result.cart.items] == [3]


def test_lines_are_checked_in_the_order_of_the_request() -> None:
    book, (scarce, scarcer) = on_sale(1, 0)

    for first, second in [(scarce, scarcer), (scarcer, scarce)]:
        decision = decide(book, reserve(BUYER, {first.id: 2, second.id: 2}))
        assert decision.ticket_type_id == first.id


def test_an_earlier_line_decides_even_where_a_later_one_breaks_an_earlier_rule() -> None:
    book, (scarce,) = on_sale(1)

    decision = decide(book, reserve(BUYER, {scarce.id: 2, UNKNOWN: 1}))

    assert decision.code == "insufficient_availability"


def test_tickets_held_by_others_are_not_available() -> None:
    event = an_event()
    standing = a_ticket_type(event, total=5)
    cart = a_cart(NEIGHBOUR, {standing.id: 4})
    book = a_book(users=[BUYER], events=[event], ticket_types=[standing], carts=[cart])

    decision = decide(book, reserve(BUYER, {standing.id: 2}))

    assert decision == InsufficientAvailability(standing.id, requested=2, available=1)
    assert book.carts == {NEIGHBOUR: cart}


def test_the_cart_lists_its_items_by_ticket_type() -> None:
    book, ticket_types = on_sale(9, 9, 9)
    backwards = sorted((t.id for t in ticket_types), reverse=True)

    result = decide(book, reserve(BUYER, dict.fromkeys(backwards, 1)))

    assert [item.ticket_type_id for item in result.cart.items] == sorted(backwards)


# --- the bounds of a cart -------------------------------------------------------------------


def holding_lines(count: int, *, on_sale: int = 1, held: int = 1) -> tuple[Book, list[str]]:
    """A book in which the buyer holds `count` lines, and the ticket types not held by them."""
    event = an_event()
    ticket_types = [a_ticket_type(event, total=3 * MAX_QUANTITY) for _ in range(count + on_sale)]
    ids = [ticket_type.id for ticket_type in ticket_types]
    carts = [a_cart(BUYER, dict.fromkeys(ids[:count], held))] if count else []
    book = a_book(users=[BUYER], events=[event], ticket_types=ticket_types, carts=carts)
    return book, ids[count:]


@pytest.mark.parametrize(
    ("held", "new", "refused"),
    [
        (MAX_CART_LINES - 1, 1, False),
        (MAX_CART_LINES - 2, 2, False),
        (MAX_CART_LINES - 2, 3, True),
        (MAX_CART_LINES - 1, 2, True),
        (MAX_CART_LINES, 1, True),
        (MAX_CART_LINES + 10, 1, True),
    ],
)
def test_a_cart_has_a_bounded_number_of_lines(held: int, new: int, refused: bool) -> None:
    book, others = holding_lines(held, on_sale=new)

    decision = decide(book, reserve(BUYER, dict.fromkeys(others, 1)))

    assert (decision == CartFull(allowed=MAX_CART_LINES)) is refused
    assert len(book.carts[BUYER].lines) == held + (0 if refused else new)


def test_more_tickets_of_a_line_that_is_in_the_cart_add_no_line() -> None:
    for held in (MAX_CART_LINES, MAX_CART_LINES + 10):  # such carts are older than the bound
        book, _ = holding_lines(held)
        line = next(iter(book.carts[BUYER].lines))

        decide(book, reserve(BUYER, {line: 2}))

        assert book.carts[BUYER].lines[line] == 3


def test_the_number_of_lines_is_checked_after_each_line() -> None:
    book, others = holding_lines(MAX_CART_LINES, on_sale=2)
    book.ticket_types[others[1]].total = 0

    decision = decide(book, reserve(BUYER, dict.fromkeys(others, 1)))

    assert decision == InsufficientAvailability(others[1], requested=1, available=0)
    assert len(book.carts[BUYER].lines) == MAX_CART_LINES


@pytest.mark.parametrize(
    ("held", "quantity", "refused"),
    [
        (0, MAX_QUANTITY, False),
        (1, MAX_QUANTITY - 1, False),
        (1, MAX_QUANTITY, True),
        (MAX_QUANTITY, 1, True),
        (MAX_QUANTITY + 1, 1, True),
    ],
)
def test_a_line_has_a_bounded_number_of_tickets(held: int, quantity: int, refused: bool) -> None:
    book, _ = holding_lines(1 if held else 0, held=held)
    line = next(iter(book.ticket_types))

    decision = decide(book, reserve(BUYER, {line: quantity}))

    expected = LineTooLarge(line, requested=held + quantity, allowed=MAX_QUANTITY)
    assert (decision == expected) is refused
    lines = book.carts[BUYER].lines if BUYER in book.carts else {}
    assert lines.get(line, 0) == held + (0 if refused else quantity)


def test_lines_of_one_request_that_add_up_to_too_many_are_refused() -> None:
    book, (tickets,) = holding_lines(0)

    decision = decide(book, reserve(BUYER, [(tickets, MAX_QUANTITY), (tickets, 1)]))

    assert decision == LineTooLarge(tickets, MAX_QUANTITY + 1, MAX_QUANTITY)


def test_too_few_tickets_are_named_before_too_large_a_line() -> None:
    book, (tickets,) = holding_lines(0)
    book.ticket_types[tickets].total = 7

    decision = decide(book, reserve(BUYER, [(tickets, MAX_QUANTITY), (tickets, 1)]))

    assert decision == InsufficientAvailability(tickets, MAX_QUANTITY + 1, available=7)
