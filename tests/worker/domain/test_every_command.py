"""The rules that come before all others, whatever a command asks for."""

from collections.abc import Callable

import pytest

from shared.commands import Command
from shared.ids import new_id
from tests.builders import (
    A_MOMENT,
    COMMAND_WINDOW,
    FAR_AHEAD,
    NOW,
    a_book,
    cancel_event,
    cancel_order,
    change_event,
    change_ticket_type,
    check_out,
    create_event,
    create_ticket_type,
    end_event,
    extend_hold,
    extend_order,
    id_made_at,
    record_payment,
    record_refund,
    register_user,
    release_cart,
    release_item,
    release_tickets,
    reserve,
    set_quantity,
)
from worker.domain.decide import decide

SOMEBODY, SOMETHING = new_id(), new_id()
A_MILLISECOND = 1000 * A_MOMENT

COMMANDS: dict[str, Callable[..., Command]] = {
    "register_user": lambda **fields: register_user(SOMEBODY, **fields),
    "create_event": lambda **fields: create_event(SOMEBODY, **fields),
    "change_event": lambda **fields: change_event(SOMEBODY, SOMETHING, name="A match", **fields),
    "cancel_event": lambda **fields: cancel_event(SOMEBODY, SOMETHING, **fields),
    "end_event": lambda **fields: end_event(SOMEBODY, SOMETHING, **fields),
    "create_ticket_type": lambda **fields: create_ticket_type(SOMEBODY, SOMETHING, **fields),
    "change_ticket_type": lambda **fields: change_ticket_type(
        SOMEBODY, SOMETHING, name="Seated", **fields
    ),
    "reserve_tickets": lambda **fields: reserve(SOMEBODY, {SOMETHING: 1}, **fields),
    "set_quantity": lambda **fields: set_quantity(SOMEBODY, SOMETHING, 1, **fields),
    "release_item": lambda **fields: release_item(SOMEBODY, SOMETHING, **fields),
    "release_cart": lambda **fields: release_cart(SOMEBODY, **fields),
    "extend_hold": lambda **fields: extend_hold(SOMEBODY, **fields),
    "check_out": lambda **fields: check_out(SOMEBODY, SOMETHING, **fields),
    "record_payment": lambda **fields: record_payment(SOMEBODY, SOMETHING, 1, **fields),
    "record_refund": lambda **fields: record_refund(SOMEBODY, SOMETHING, 1, **fields),
    "release_tickets": lambda **fields: release_tickets(
        SOMEBODY, SOMETHING, {SOMETHING: 1}, **fields
    ),
    "cancel_order": lambda **fields: cancel_order(SOMEBODY, SOMETHING, **fields),
    "extend_order": lambda **fields: extend_order(SOMEBODY, SOMETHING, FAR_AHEAD, **fields),
}
every_command = pytest.mark.parametrize("make", COMMANDS.values(), ids=COMMANDS)


@every_command
def test_an_id_older_than_the_window_is_refused(make: Callable[..., Command]) -> None:
    too_old = id_made_at(NOW - COMMAND_WINDOW - A_MILLISECOND)

    assert decide(a_book(), make(command_id=too_old)).code == "stale_command"


@every_command
def test_an_id_at_the_edge_of_the_window_is_accepted(make: Callable[..., Command]) -> None:
    just_in_time = id_made_at(NOW - COMMAND_WINDOW)

    decision = decide(a_book(), make(command_id=just_in_time))

    assert getattr(decision, "code", None) != "stale_command"


@every_command
def test_a_command_is_refused_from_its_deadline_on(make: Callable[..., Command]) -> None:
    assert decide(a_book(), make(deadline=NOW)).code == "deadline_passed"


@every_command
def test_a_command_is_decided_until_its_deadline(make: Callable[..., Command]) -> None:
    decision = decide(a_book(), make(deadline=NOW + A_MOMENT))

    assert getattr(decision, "code", None) != "deadline_passed"


@pytest.mark.parametrize("kind", [kind for kind in COMMANDS if kind != "register_user"])
def test_an_unknown_user_may_only_register(kind: str) -> None:
    assert decide(a_book(), COMMANDS[kind]()).code == "user_not_found"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"command_id": id_made_at(NOW - 2 * COMMAND_WINDOW), "deadline": NOW},
            "stale_command",
        ),
        ({"deadline": NOW}, "deadline_passed"),
        ({}, "user_not_found"),
    ],
)
def test_of_several_reasons_the_first_in_this_order_is_given(
    fields: dict[str, object], expected: str
) -> None:
    """The user is unknown, and so is the ticket type, in every row."""
    assert decide(a_book(), reserve(SOMEBODY, {SOMETHING: 1}, **fields)).code == expected


@every_command
def test_a_refused_command_leaves_the_book_as_it_was(make: Callable[..., Command]) -> None:
    book, untouched = a_book(), a_book()

    decide(book, make(deadline=NOW))

    assert book == untouched
