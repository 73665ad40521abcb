"""Creating and changing ticket types."""

from typing import Any

import pytest

from shared.bodies import MAX_QUANTITY, MAX_TICKET_TYPES
from shared.ids import new_id
from shared.refusals import TooManyTicketTypes, TotalBelowCommitted
from tests.builders import (
    A_MOMENT,
    FAR_AHEAD,
    LONG_AGO,
    NOW,
    a_book,
    a_ticket_type,
    an_event,
    change_ticket_type,
    create_ticket_type,
    reserve,
)
from worker.domain.book import Book, TicketType
from worker.domain.decide import decide

ORGANIZER, STRANGER = new_id(), new_id()
UNKNOWN = new_id()

# Half of the hundred tickets are committed; the sale goes from long ago until far ahead.
REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    # what is wrong with the request     what it changes                   the refusal
    ({"ticket_type_id": UNKNOWN}, {}, "ticket_type_not_found"),
    ({"user_id": STRANGER}, {}, "not_the_organizer"),
    ({"ends_at": NOW}, {}, "event_ended"),
    ({"status": "cancelled"}, {}, "event_cancelled"),
    ({}, {"total_quantity": 49}, "total_below_committed"),
    ({}, {"sale_ends_at": LONG_AGO}, "unprocessable"),
    ({}, {"min_per_order": MAX_QUANTITY, "max_per_user": None}, "unprocessable"),
]


def half_committed(**event_fields: Any) -> tuple[Book, TicketType]:
    event = an_event(ORGANIZER, **event_fields)
    ticket_type = a_ticket_type(event, total=100, reserved=30, sold=20, max_per_order=50)
    users = [ORGANIZER, STRANGER]
    return a_book(users=users, events=[event], ticket_types=[ticket_type]), ticket_type


def change(faults: dict[str, Any], **changes: Any) -> tuple[TicketType, Any]:
    faults = dict(faults)
    user_id, asked = faults.pop("user_id", ORGANIZER), faults.pop("ticket_type_id", None)
    book, ticket_type = half_committed(**faults)
    given = {"name": "Seated"} | changes
    command = change_ticket_type(user_id, asked or ticket_type.id, **given)
    return ticket_type, decide(book, command)


@pytest.mark.parametrize(("fault", "changes", "expected"), REFUSALS)
def test_each_rule_refuses_alone_and_nothing_changes(
    fault: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    ticket_type, decision = change(fault, **changes)

    assert decision.code == expected
    assert (ticket_type.name, ticket_type.total) == ("Standing", 100)


@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_of_several_broken_rules_the_first_is_named(first: int) -> None:
    faults: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    for fault, changed, _ in REFUSALS[first:]:
        faults |= fault
        changes |= changed

    _, decision = change(faults, **changes)

    assert decision.code == REFUSALS[first][2]


def test_a_total_below_what_is_committed_is_refused_with_the_numbers() -> None:
    _, decision = change({}, total_quantity=49)

    assert decision == TotalBelowCommitted(reserved_quantity=30, sold_quantity=20)


def test_the_total_may_fall_to_what_is_committed() -> None:
    ticket_type, result = change({}, total_quantity=50)

    assert (result.ticket_type.total_quantity, result.ticket_type.available) == (50, 0)
    assert ticket_type.total == 50


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("name", "Balcony", "name"),
        ("total_quantity", 70, "total"),
        ("sale_starts_at", NOW, "sale_starts_at"),
        ("sale_ends_at", NOW, "sale_ends_at"),
        ("unit_price", 4_500, "unit_price"),
        ("min_per_order", 2, "min_per_order"),
        ("max_per_order", 6, "max_per_order"),
        ("max_per_user", 8, "max_per_user"),
    ],
)
def test_a_field_that_is_not_named_stays_unchanged(field: str, value: Any, stored: str) -> None:
    book, ticket_type = half_committed()
    as_it_was = {name: getattr(ticket_type, name) for name in TicketType.__slots__}

    decide(book, change_ticket_type(ORGANIZER, ticket_type.id, **{field: value}))

    assert {name: getattr(ticket_type, name) for name in TicketType.__slots__} == (
        as_it_was | {stored: value}
    )
    assert book.changes.changed_ticket_types == {ticket_type.id: ticket_type}


def test_the_total_can_be_lowered_to_what_is_committed_at_that_instant() -> None:
    ticket_type, result = change({}, lower_to_committed=True)

    assert (result.ticket_type.total_quantity, result.ticket_type.available) == (50, 0)
    assert ticket_type.total == 50


def test_a_price_may_become_zero() -> None:
    book, ticket_type = half_committed()
    ticket_type.unit_price = 4_500

    result = decide(book, change_ticket_type(ORGANIZER, ticket_type.id, unit_price=0))

    assert result.ticket_type.unit_price == 0


@pytest.mark.parametrize(
    ("minimum", "most", "refused"),
    [
        (3, {"max_per_order": 3, "max_per_user": 3}, False),
        (4, {"max_per_order": 3}, True),
        (4, {"max_per_user": 3}, True),
        (MAX_QUANTITY, {}, False),
    ],
)
def test_the_fewest_tickets_of_an_order_cannot_be_more_than_the_most(
    minimum: int, most: dict[str, int], refused: bool
) -> None:
    event = an_event(ORGANIZER)
    ticket_type = a_ticket_type(event, **most)
    book = a_book(users=[ORGANIZER], events=[event], ticket_types=[ticket_type])

    decision = decide(book, change_ticket_type(ORGANIZER, ticket_type.id, min_per_order=minimum))

    assert (getattr(decision, "code", None) == "unprocessable") is refused


def test_a_ticket_type_has_the_price_and_the_limits_that_it_was_created_with() -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[ORGANIZER], events=[event])
    given = {"unit_price": 4_500, "min_per_order": 2, "max_per_order": 6, "max_per_user": 8}

    created = decide(book, create_ticket_type(ORGANIZER, event.id, **given)).ticket_type
    bare = decide(book, create_ticket_type(ORGANIZER, event.id)).ticket_type

    assert {name: getattr(created, name) for name in given} == given
    assert [getattr(bare, name) for name in given] == [0, 1, None, None]


def test_the_total_may_fall_to_zero_where_nothing_is_committed() -> None:
    event = an_event(ORGANIZER)
    ticket_type = a_ticket_type(event)
    book = a_book(users=[ORGANIZER], events=[event], ticket_types=[ticket_type])

    result = decide(book, change_ticket_type(ORGANIZER, ticket_type.id, total_quantity=0))

    assert result.ticket_type.total_quantity == 0


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"sale_starts_at": FAR_AHEAD}, True),
        ({"sale_starts_at": FAR_AHEAD - A_MOMENT}, False),
        ({"sale_ends_at": LONG_AGO}, True),
        ({"sale_ends_at": LONG_AGO + A_MOMENT}, False),
    ],
)
def test_a_sale_ends_after_it_starts(changes: dict[str, Any], refused: bool) -> None:
    _, decision = change({}, **changes)

    assert (getattr(decision, "code", None) == "unprocessable") is refused


def test_a_ticket_type_gets_the_commands_id_and_all_of_it_is_available() -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[ORGANIZER], events=[event])
    command = create_ticket_type(ORGANIZER, event.id, total_quantity=7)

    created = decide(book, command).ticket_type

    assert (created.id, created.event_id) == (command.command_id, event.id)
    assert (created.total_quantity, created.available) == (7, 7)
    assert (created.reserved_quantity, created.sold_quantity) == (0, 0)


def test_a_ticket_type_can_be_sold_in_the_batch_that_creates_it() -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[ORGANIZER, STRANGER], events=[event])
    created = decide(book, create_ticket_type(ORGANIZER, event.id, total_quantity=1)).ticket_type

    assert decide(book, reserve(STRANGER, {created.id: 1})).cart.status == "active"
    assert decide(book, reserve(ORGANIZER, {created.id: 1})).code == "insufficient_availability"
    assert book.changes.new_ticket_types[created.id].reserved == 1
    assert book.changes.changed_ticket_types == {}


@pytest.mark.parametrize("existing", [MAX_TICKET_TYPES - 2, MAX_TICKET_TYPES + 10])
def test_an_event_has_a_bounded_number_of_ticket_types(existing: int) -> None:
    event, other = an_event(ORGANIZER), an_event(ORGANIZER)
    ticket_types = [a_ticket_type(event) for _ in range(existing)]
    ticket_types += [a_ticket_type(other) for _ in range(MAX_TICKET_TYPES - 1)]
    book = a_book(users=[ORGANIZER], events=[event, other], ticket_types=ticket_types)

    decisions = [decide(book, create_ticket_type(ORGANIZER, event.id)) for _ in range(4)]

    added = max(0, MAX_TICKET_TYPES - existing)
    assert all(hasattr(decision, "ticket_type") for decision in decisions[:added])
    assert decisions[added:] == [TooManyTicketTypes(MAX_TICKET_TYPES)] * (4 - added)
    assert len(book.changes.new_ticket_types) == added
    assert hasattr(decide(book, create_ticket_type(ORGANIZER, other.id)), "ticket_type")


def test_the_right_to_add_a_ticket_type_is_checked_before_their_number() -> None:
    event = an_event(ORGANIZER, status="cancelled")
    ticket_types = [a_ticket_type(event) for _ in range(MAX_TICKET_TYPES)]
    book = a_book(users=[ORGANIZER], events=[event], ticket_types=ticket_types)

    assert decide(book, create_ticket_type(ORGANIZER, event.id)).code == "event_cancelled"
