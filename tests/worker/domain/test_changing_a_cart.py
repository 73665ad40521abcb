"""Setting a quantity, removing an item, releasing a cart."""

from typing import Any

import pytest

from shared.bodies import MAX_CART_LINES, MAX_QUANTITY
from shared.ids import new_id
from shared.outcomes import EMPTY_CART
from shared.refusals import CartFull, InsufficientAvailability, ItemNotInCart
from tests.builders import (
    A_MOMENT,
    HOLD,
    NOW,
    a_book,
    a_cart,
    a_ticket_type,
    an_event,
    release_cart,
    release_item,
    set_quantity,
)
from worker.domain.book import Book, Changes
from worker.domain.decide import decide

BUYER = new_id()
TICKETS, OTHERS = new_id(), new_id()
UNKNOWN = new_id()

# What may become of an event and its sale while tickets lie in a cart, in order of precedence.
MISFORTUNES: list[tuple[dict[str, Any], str]] = [
    ({"ends_at": NOW}, "event_ended"),
    ({"status": "cancelled"}, "event_cancelled"),
    ({"sale_starts_at": NOW + A_MOMENT}, "sale_not_started"),
    ({"sale_ends_at": NOW}, "sale_ended"),
    ({"sold": 97}, "insufficient_availability"),
]
misfortunes = pytest.mark.parametrize(("fault", "code"), MISFORTUNES)


def holding(lines: dict[str, int], **fault: Any) -> Book:
    """A book in which the buyer holds `lines` of a hundred tickets of each of two types."""
    event = an_event(**{k: fault.pop(k) for k in ("ends_at", "status") if k in fault})
    ticket_types = [a_ticket_type(event, id=id, **fault) for id in (TICKETS, OTHERS)]
    carts = [a_cart(BUYER, lines, expires_at=NOW + A_MOMENT)] if lines else []
    return a_book(users=[BUYER], events=[event], ticket_types=ticket_types, carts=carts)


def reserved(book: Book) -> tuple[int, int]:
    return book.ticket_types[TICKETS].reserved, book.ticket_types[OTHERS].reserved


# --- raising --------------------------------------------------------------------------------


def test_raising_takes_the_difference() -> None:
    book = holding({TICKETS: 3})

    result = decide(book, set_quantity(BUYER, TICKETS, 5))

    assert [item.quantity for item in result.cart.items] == [5]
    assert result.cart.expires_at == NOW + A_MOMENT
    assert reserved(book) == (5, 0)


def test_setting_the_quantity_of_a_new_item_adds_it() -> None:
    book = holding({TICKETS: 3})

    decide(book, set_quantity(BUYER, OTHERS, 2))

    assert book.carts[BUYER].lines == {TICKETS: 3, OTHERS: 2}
    assert reserved(book) == (3, 2)


def test_setting_a_quantity_without_a_cart_opens_one_under_the_commands_id() -> None:
    book = holding({})
    command = set_quantity(BUYER, TICKETS, 2)

    result = decide(book, command)

    assert (result.cart.id, result.cart.expires_at) == (command.command_id, NOW + HOLD)


@misfortunes
def test_raising_passes_the_rules_of_reserving(fault: dict[str, Any], code: str) -> None:
    book = holding({TICKETS: 3}, **fault)

    assert decide(book, set_quantity(BUYER, TICKETS, 4)).code == code
    assert reserved(book) == (3, 0)


@pytest.mark.parametrize("first", range(len(MISFORTUNES)))
def test_of_several_broken_rules_raising_names_the_first(first: int) -> None:
    faults: dict[str, Any] = {}
    for fault, _ in MISFORTUNES[first:]:
        faults |= fault

    decision = decide(holding({TICKETS: 3}, **faults), set_quantity(BUYER, TICKETS, 4))

    assert decision.code == MISFORTUNES[first][1]


def test_raising_is_refused_by_the_difference_alone() -> None:
    book = holding({TICKETS: 3}, sold=95)

    decision = decide(book, set_quantity(BUYER, TICKETS, 6))

    assert decision == InsufficientAvailability(TICKETS, requested=3, available=2)


def test_an_unknown_ticket_type_cannot_be_set() -> None:
    decision = decide(holding({}), set_quantity(BUYER, UNKNOWN, 1))

    assert (decision.code, decision.ticket_type_id) == ("ticket_type_not_found", UNKNOWN)


# --- the bounds of a cart -------------------------------------------------------------------


def holding_many(lines: int) -> Book:
    event = an_event()
    ticket_types = [a_ticket_type(event) for _ in range(lines)]
    cart = a_cart(BUYER, {ticket_type.id: 2 for ticket_type in ticket_types})
    tickets = a_ticket_type(event, id=TICKETS)
    return a_book(events=[event], ticket_types=[*ticket_types, tickets], carts=[cart])


@pytest.mark.parametrize("lines", [MAX_CART_LINES, MAX_CART_LINES + 10])
def test_a_new_line_in_a_full_cart_is_refused(lines: int) -> None:
    book = holding_many(lines)

    assert decide(book, set_quantity(BUYER, TICKETS, 1)) == CartFull(allowed=MAX_CART_LINES)
    assert len(book.carts[BUYER].lines) == lines


def test_the_last_line_that_a_cart_may_have_is_added() -> None:
    book = holding_many(MAX_CART_LINES - 1)

    assert len(decide(book, set_quantity(BUYER, TICKETS, 1)).cart.items) == MAX_CART_LINES


@pytest.mark.parametrize("change", [set_quantity, release_item], ids=["set", "release"])
def test_a_cart_with_more_lines_than_it_may_have_can_be_changed_and_shrinks(change: Any) -> None:
    book = holding_many(MAX_CART_LINES + 10)
    lines = list(book.carts[BUYER].lines)

    decide(book, set_quantity(BUYER, lines[0], 3))
    for line in lines[1:]:
        decide(book, change(BUYER, line, *((0,) if change is set_quantity else ())))
    decide(book, set_quantity(BUYER, TICKETS, 1))

    assert book.carts[BUYER].lines == {lines[0]: 3, TICKETS: 1}


def test_a_line_with_more_tickets_than_it_may_have_can_be_lowered() -> None:
    event = an_event()
    tickets = a_ticket_type(event, id=TICKETS, total=3 * MAX_QUANTITY)
    cart = a_cart(BUYER, {TICKETS: 2 * MAX_QUANTITY})
    book = a_book(events=[event], ticket_types=[tickets], carts=[cart])

    decide(book, set_quantity(BUYER, TICKETS, MAX_QUANTITY))

    assert book.carts[BUYER].lines == {TICKETS: MAX_QUANTITY}


# --- lowering and removing: always allowed --------------------------------------------------


@misfortunes
@pytest.mark.parametrize(
    ("command", "left"),
    [
        (set_quantity(BUYER, TICKETS, 3), {TICKETS: 3, OTHERS: 1}),
        (set_quantity(BUYER, TICKETS, 1), {TICKETS: 1, OTHERS: 1}),
        (set_quantity(BUYER, TICKETS, 0), {OTHERS: 1}),
        (release_item(BUYER, TICKETS), {OTHERS: 1}),
        (release_cart(BUYER), {}),
    ],
    ids=["as it was", "lower", "zero", "release_item", "release_cart"],
)
def test_giving_back_is_allowed_whatever_became_of_event_and_sale(
    command: Any, left: dict[str, int], fault: dict[str, Any], code: str
) -> None:
    book = holding({TICKETS: 3, OTHERS: 1}, **fault)

    result = decide(book, command)

    assert {item.ticket_type_id: item.quantity for item in result.cart.items} == left
    assert reserved(book) == (left.get(TICKETS, 0), left.get(OTHERS, 0))


@pytest.mark.parametrize(
    "command",
    [set_quantity(BUYER, TICKETS, 0), release_item(BUYER, TICKETS), release_cart(BUYER)],
    ids=["zero", "release_item", "release_cart"],
)
def test_taking_the_last_line_out_releases_the_cart(command: Any) -> None:
    book = holding({TICKETS: 3})
    cart = book.carts[BUYER]

    result = decide(book, command)

    assert result.cart == EMPTY_CART
    assert cart.status == "released"
    assert book.changes.closed_carts == {cart.id: cart}
    assert book.carts == {}
    assert reserved(book) == (0, 0)


def test_a_cart_opened_after_a_release_is_a_new_one() -> None:
    book = holding({TICKETS: 3})
    released = book.carts[BUYER].id
    decide(book, release_cart(BUYER))

    result = decide(book, set_quantity(BUYER, TICKETS, 1))

    assert result.cart.id != released
    assert result.cart.expires_at == NOW + HOLD


def test_an_item_that_is_removed_and_added_again_is_one_line() -> None:
    book = holding({TICKETS: 3, OTHERS: 1})

    decide(book, release_item(BUYER, TICKETS))
    decide(book, set_quantity(BUYER, TICKETS, 2))

    assert book.carts[BUYER].lines == {TICKETS: 2, OTHERS: 1}


def test_releasing_an_empty_cart_succeeds_and_changes_nothing() -> None:
    book = holding({})

    assert decide(book, release_cart(BUYER)).cart == EMPTY_CART
    assert book.changes == Changes()


@pytest.mark.parametrize("lines", [{}, {OTHERS: 1}], ids=["no cart", "a cart of other tickets"])
@pytest.mark.parametrize("ticket_type_id", [TICKETS, UNKNOWN], ids=["known", "unknown"])
@pytest.mark.parametrize("kind", ["set_quantity", "release_item"])
def test_an_item_that_is_not_in_the_cart_cannot_be_removed(
    lines: dict[str, int], ticket_type_id: str, kind: str
) -> None:
    commands = {
        "set_quantity": set_quantity(BUYER, ticket_type_id, 0),
        "release_item": release_item(BUYER, ticket_type_id),
    }

    assert decide(holding(lines), commands[kind]) == ItemNotInCart(ticket_type_id)


def test_no_command_changes_the_cart_of_another_user() -> None:
    book, stranger = holding({TICKETS: 3}), new_id()
    book.user_ids.add(stranger)

    assert decide(book, release_item(stranger, TICKETS)) == ItemNotInCart(TICKETS)
    assert decide(book, set_quantity(stranger, TICKETS, 0)) == ItemNotInCart(TICKETS)
    assert decide(book, release_cart(stranger)).cart == EMPTY_CART
    assert book.carts[BUYER].lines == {TICKETS: 3}
