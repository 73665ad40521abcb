"""Creating, changing, cancelling and ending events, and what time does to their status."""

from dataclasses import replace
from typing import Any

import pytest

from shared.ids import new_id
from shared.refusals import EventNotFound
from tests.builders import (
    A_MOMENT,
    FAR_AHEAD,
    LONG_AGO,
    NOW,
    a_book,
    a_cart,
    a_ticket_type,
    an_event,
    cancel_event,
    change_event,
    create_event,
    create_ticket_type,
    end_event,
)
from worker.domain.book import Event
from worker.domain.decide import decide

ORGANIZER, STRANGER = new_id(), new_id()
UNKNOWN = new_id()

REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"event_id": UNKNOWN}, "event_not_found"),
    ({"user_id": STRANGER}, "not_the_organizer"),
    ({"ends_at": NOW}, "event_ended"),
    ({"status": "cancelled"}, "event_cancelled"),
]
COMMANDS = {
    "change_event": lambda user_id, event_id: change_event(user_id, event_id, name="A match"),
    "cancel_event": cancel_event,
    "end_event": end_event,
    "create_ticket_type": create_ticket_type,
}


def organize(kind: str, faults: dict[str, Any]) -> Any:
    """Change, cancel, end or extend an event, with `faults` in the way."""
    faults = dict(faults)
    user_id = faults.pop("user_id", ORGANIZER)
    asked = faults.pop("event_id", None)
    event = an_event(ORGANIZER, **faults)
    book = a_book(users=[ORGANIZER, STRANGER], events=[event])
    decision = decide(book, COMMANDS[kind](user_id, asked or event.id))
    assert (book.changes == a_book().changes) == hasattr(decision, "code")
    return decision


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize(("fault", "expected"), [*REFUSALS, ({"status": "ended"}, "event_ended")])
def test_each_rule_refuses_alone(kind: str, fault: dict[str, Any], expected: str) -> None:
    assert organize(kind, fault).code == expected


@pytest.mark.parametrize("kind", COMMANDS)
@pytest.mark.parametrize("first", range(len(REFUSALS)))
def test_of_several_broken_rules_the_first_is_named(kind: str, first: int) -> None:
    faults: dict[str, Any] = {}
    for fault, _ in REFUSALS[first:]:
        faults |= fault

    assert organize(kind, faults).code == REFUSALS[first][1]


def test_a_refusal_names_the_event() -> None:
    assert organize("cancel_event", {"event_id": UNKNOWN}) == EventNotFound(UNKNOWN)


def test_an_event_gets_the_commands_id_and_its_user_as_organizer() -> None:
    book = a_book(users=[ORGANIZER])
    command = create_event(ORGANIZER, name="A match")

    event = decide(book, command).event

    assert (event.id, event.organizer_id) == (command.command_id, ORGANIZER)
    assert (event.name, event.status) == ("A match", "active")
    assert list(book.changes.new_events) == [event.id]


def test_an_event_created_after_its_end_reads_ended() -> None:
    book = a_book(users=[ORGANIZER])

    assert decide(book, create_event(ORGANIZER, ends_at=NOW)).event.status == "ended"


@pytest.mark.parametrize(
    ("kind", "status"), [("cancel_event", "cancelled"), ("end_event", "ended")]
)
def test_an_organizer_closes_an_event_once(kind: str, status: str) -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[ORGANIZER], events=[event])

    assert decide(book, COMMANDS[kind](ORGANIZER, event.id)).event.status == status
    assert list(book.changes.changed_events) == [event.id]
    for again in ("cancel_event", "end_event"):
        decision = decide(book, COMMANDS[again](ORGANIZER, event.id))
        assert decision.code == f"event_{status}"


def test_closing_an_event_leaves_the_carts_to_their_owners() -> None:
    event = an_event(ORGANIZER)
    standing = a_ticket_type(event)
    cart = a_cart(STRANGER, {standing.id: 2})
    book = a_book(users=[ORGANIZER], events=[event], ticket_types=[standing], carts=[cart])

    decide(book, cancel_event(ORGANIZER, event.id))

    assert book.carts == {STRANGER: cart}
    assert standing.reserved == 2


@pytest.mark.parametrize(
    ("status", "ends_at", "reads"),
    [
        ("active", NOW + A_MOMENT, "active"),
        ("active", NOW, "ended"),
        ("cancelled", NOW + A_MOMENT, "cancelled"),
        ("cancelled", NOW, "ended"),
        ("ended", NOW + A_MOMENT, "ended"),
        ("ended", NOW, "ended"),
    ],
)
def test_an_event_whose_end_has_passed_reads_ended(status: str, ends_at: Any, reads: str) -> None:
    assert an_event(status=status, ends_at=ends_at).to_document(NOW).status == reads


def test_an_event_created_and_closed_in_one_batch_is_saved_once_as_it_ended_up() -> None:
    book = a_book(users=[ORGANIZER])
    event = decide(book, create_event(ORGANIZER)).event

    decide(book, cancel_event(ORGANIZER, event.id))

    assert book.changes.new_events[event.id].status == "cancelled"
    assert book.changes.changed_events == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", "A match"), ("starts_at", NOW), ("ends_at", NOW + A_MOMENT)],
)
def test_a_field_that_a_change_does_not_name_stays_as_it_is(field: str, value: Any) -> None:
    event = an_event(ORGANIZER)
    as_it_was = {name: getattr(event, name) for name in Event.__slots__}
    book = a_book(users=[ORGANIZER], events=[event])

    result = decide(book, change_event(ORGANIZER, event.id, **{field: value}))

    changed = {name: getattr(event, name) for name in Event.__slots__}
    assert changed == as_it_was | {field: value}
    assert result.event == event.to_document(NOW)
    assert book.changes.changed_events == {event.id: event}


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"starts_at": FAR_AHEAD}, True),
        ({"starts_at": FAR_AHEAD - A_MOMENT}, False),
        ({"ends_at": LONG_AGO}, True),
        ({"ends_at": LONG_AGO + A_MOMENT}, False),
    ],
)
def test_an_event_ends_after_it_starts(changes: dict[str, Any], refused: bool) -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[ORGANIZER], events=[event])

    decision = decide(book, change_event(ORGANIZER, event.id, name="A match", **changes))

    assert (getattr(decision, "code", None) == "unprocessable") is refused
    assert (event.name == "A concert") is refused


def test_the_right_to_change_an_event_is_checked_before_its_times() -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[STRANGER], events=[event])

    decision = decide(book, change_event(STRANGER, event.id, ends_at=LONG_AGO))

    assert decision.code == "not_the_organizer"


def test_an_event_whose_end_is_moved_into_the_past_has_ended() -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[ORGANIZER], events=[event])

    assert decide(book, change_event(ORGANIZER, event.id, ends_at=NOW)).event.status == "ended"
    assert decide(book, change_event(ORGANIZER, event.id, ends_at=FAR_AHEAD)).code == "event_ended"


def test_an_event_created_and_changed_in_one_batch_is_saved_once() -> None:
    book = a_book(users=[ORGANIZER])
    event = decide(book, create_event(ORGANIZER)).event

    decide(book, change_event(ORGANIZER, event.id, name="A match"))

    assert book.changes.new_events[event.id].name == "A match"
    assert book.changes.changed_events == {}


# --- the payment agent ----------------------------------------------------------------------


def test_the_payment_agent_is_the_organizer_where_none_is_named() -> None:
    book = a_book(users=[ORGANIZER])

    event = decide(book, create_event(ORGANIZER)).event

    assert (event.payment_agent_id, event.currency) == (ORGANIZER, "EUR")


def test_the_payment_agent_is_named_at_the_creation_or_later() -> None:
    book = a_book(users=[ORGANIZER, STRANGER])

    named = decide(book, create_event(ORGANIZER, payment_agent_id=STRANGER, currency="CHF")).event
    event = decide(book, create_event(ORGANIZER)).event
    changed = decide(book, change_event(ORGANIZER, event.id, payment_agent_id=STRANGER)).event

    assert (named.payment_agent_id, named.currency) == (STRANGER, "CHF")
    assert changed.payment_agent_id == STRANGER
    assert decide(book, change_event(ORGANIZER, event.id, name="A match")).event == replace(
        changed, name="A match"
    )


def test_a_user_that_does_not_exist_cannot_be_the_payment_agent() -> None:
    event = an_event(ORGANIZER)
    book = a_book(users=[ORGANIZER], events=[event])

    created = decide(book, create_event(ORGANIZER, payment_agent_id=UNKNOWN))
    changed = decide(book, change_event(ORGANIZER, event.id, payment_agent_id=UNKNOWN))

    assert (created.code, changed.code) == ("unprocessable", "unprocessable")
    assert book.changes == a_book().changes
