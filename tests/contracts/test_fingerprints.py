"""Fingerprints are equal for equal requests of the same user, over all attempts."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.commands import Command
from shared.ids import new_id
from shared.messages import encode_commands, read_commands
from tests.builders import NOW, PASSWORD_HASH, release_cart, release_item
from tests.contracts.examples import COMMANDS, EVENT, SEATED, STANDING

every_kind = pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)


@every_kind
@pytest.mark.parametrize(
    "attempt",
    [{"command_id": new_id()}, {"submitted_at": NOW}, {"deadline": None}, {"deadline": NOW}],
    ids=["another ID", "another time", "no deadline", "another deadline"],
)
def test_fields_that_differ_between_attempts_do_not_change_the_fingerprint(
    command: Command, attempt: dict[str, Any]
) -> None:
    assert command.model_copy(update=attempt).fingerprint() == command.fingerprint()


@every_kind
def test_the_user_changes_the_fingerprint(command: Command) -> None:
    another = command.model_copy(update={"user_id": new_id()})

    assert another.fingerprint() != command.fingerprint()


FINGERPRINTS_OF_0_1 = {
    "register_user": "5849ba4c298017fbd6eb86dbe7ff4352",
    "create_event": "db928c845f750f0ebc593daf0dea4fc1",
    "change_event": "955b0284103458c0497a430ac520d679",
    "cancel_event": "3644c30c9a5ec90be9addbbdb3946497",
    "end_event": "29fbc6cb549d0ba5bd86c0d4cbba44a4",
    "create_ticket_type": "6a6821e943ed22be756dbd65ddd5f93e",
    "change_ticket_type": "121208dbe3a81cf437a72b13602555ab",
    "reserve_tickets": "2ebddb5efd40020d0e53426f175e6731",
    "set_quantity": "242c194797265c353228bb586e30d1b9",
    "release_item": "b237a1d3b63fc00c5d8c215b9dff3d6c",
    "release_cart": "90c655451ece7e13ac2aa727b5c0baf4",
}

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("register_user", {"email": "bob@example.com"}),
    ("register_user", {"email": "ann@example.com"}),
    ("register_user", {"password_hash": PASSWORD_HASH + "x"}),
    ("create_event", {"name": "A match"}),
    ("create_event", {"starts_at": NOW}),
    ("create_event", {"ends_at": NOW}),
    ("change_event", {"event_id": SEATED}),
    ("change_event", {"name": "A match"}),
    ("change_event", {"starts_at": None}),
    ("change_event", {"ends_at": None}),
    ("cancel_event", {"event_id": SEATED}),
    ("end_event", {"event_id": SEATED}),
    ("create_event", {"currency": "EUR"}),
    ("create_event", {"payment_agent_id": None}),
    ("change_event", {"payment_agent_id": None}),
    ("create_ticket_type", {"unit_price": 0}),
    ("create_ticket_type", {"min_per_order": 1}),
    ("create_ticket_type", {"max_per_order": None}),
    ("create_ticket_type", {"max_per_user": None}),
    ("change_ticket_type", {"unit_price": None}),
    ("change_ticket_type", {"lower_to_committed": True}),
    ("check_out", {"event_id": SEATED}),
    ("check_out", {"expected_total": None}),
    ("record_payment", {"order_id": SEATED}),
    ("record_payment", {"payment_id": "pi"}),
    ("record_payment", {"amount": 1}),
    ("record_payment", {"currency": "EUR"}),
    ("record_refund", {"refund_id": "re"}),
    ("record_refund", {"amount": 1}),
    ("release_tickets", {"keep_amount": None}),
    ("release_tickets", {"items": COMMANDS["reserve_tickets"].items}),
    ("cancel_order", {"keep_amount": None}),
    ("extend_order", {"pay_by": NOW}),
    ("create_ticket_type", {"event_id": SEATED}),
    ("create_ticket_type", {"total_quantity": 99}),
    ("change_ticket_type", {"ticket_type_id": SEATED}),
    ("change_ticket_type", {"total_quantity": None}),
    ("change_ticket_type", {"name": None}),
    ("reserve_tickets", {"items": COMMANDS["reserve_tickets"].items[:1]}),
    ("reserve_tickets", {"items": COMMANDS["reserve_tickets"].items[::-1]}),
    ("set_quantity", {"quantity": 1}),
    ("set_quantity", {"ticket_type_id": SEATED}),
    ("release_item", {"ticket_type_id": SEATED}),
]


@pytest.mark.parametrize(("kind", "change"), CHANGES, ids=str)
def test_each_field_of_the_request_changes_the_fingerprint(
    kind: str, change: dict[str, Any]
) -> None:
    command = COMMANDS[kind]

    assert command.model_copy(update=change).fingerprint() != command.fingerprint()


def test_the_kind_changes_the_fingerprint() -> None:
    prints = {command.fingerprint() for command in COMMANDS.values()}
    assert len(prints) == len(COMMANDS)

    cancel, end = COMMANDS["cancel_event"], COMMANDS["end_event"]
    assert cancel.event_id == end.event_id == EVENT
    one = release_item(cancel.user_id, STANDING)
    assert one.fingerprint() != release_cart(cancel.user_id).fingerprint()


@every_kind
def test_a_fingerprint_has_sixteen_bytes_and_survives_the_wire(command: Command) -> None:
    (read,) = read_commands(encode_commands([command]))

    assert len(command.fingerprint()) == 16
    assert read.fingerprint() == command.fingerprint()


@pytest.mark.parametrize(
    ("kind", "field", "other_form"),
    [
        ("create_event", "starts_at", "2022-03-01T20:00:00+01:00"),
        ("create_event", "starts_at", "2022-03-01T19:00:00.000Z"),
        ("cancel_event", "event_id", EVENT.upper()),
        ("cancel_event", "user_id", COMMANDS["cancel_event"].user_id.upper()),
    ],
)
def test_another_notation_of_the_same_value_has_the_same_fingerprint(
    kind: str, field: str, other_form: str
) -> None:
    body = json.loads(encode_commands([COMMANDS[kind]]))
    body[0][field] = other_form

    (read,) = read_commands(json.dumps(body).encode())

    assert read.fingerprint() == COMMANDS[kind].fingerprint()


@pytest.mark.parametrize("kind", FINGERPRINTS_OF_0_1)
def test_a_fingerprint_is_the_same_in_every_release(kind: str) -> None:
    """Fingerprints are stored, and a new release must recognise a duplicate of an older command."""
    command = COMMANDS[kind]
    defaults = {name: type(command).model_fields[name].default for name in command.ADDED_FIELDS}
    as_before = defaults | {"submitted_at": NOW + timedelta(seconds=1)}

    assert command.model_copy(update=as_before).fingerprint().hex() == FINGERPRINTS_OF_0_1[kind]
