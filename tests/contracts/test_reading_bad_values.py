"""A command of bad values is refused by the name of its field."""

import json
from typing import Any

import pytest

from shared.bodies import TicketTypeChanges
from shared.messages import (
    Unreadable,
    read_commands,
)
from tests.contracts.examples import COMMANDS, STANDING, USER
from tests.contracts.reading import HASH, SALT, body_of, error_of, label, read

NO_ENTRIES = [None, 1, 1.5, "release_cart", True, [], {}, [[]]]
NO_QUANTITIES = [0, -1, 2**31, 10**9, 10**30, 1.5, 1.0, "1", True, None, [1], {}, 1_000_001]
NO_TOTALS = [-1, 2**31, 100_000_001, 1.5, 1.0, "1", True, [1], {}]
NO_LIMITS = [limit for limit in NO_QUANTITIES if limit is not None]
NO_PRICES = [-1, 100_000_001, 0.5, 1.0, "1", True, None, [1], {}]
NO_CURRENCIES = [None, "", "eur", "EU", "EURO", "EUR ", "€", "E1R", 978, {}]
NO_AMOUNTS = [0, -1, 2**53, 2**63, 10**30, 0.5, 1.0, "1", True, [1], {}]
NO_PAYMENT_IDS = [
    None,
    "",
    " ",
    "x" * 201,
    "a\nb",
    "a\x00b",
    "a\x7fb",
    " a",
    "a ",
    "\u202ea",
    1,
    {},
]
NO_IDS = [
    None,
    1,
    "",
    "1",
    USER[:-1],
    f"{USER}0",
    f"{USER}\n",
    f"{{{USER}}}",
    USER.replace("-", ""),
]
NO_COMMAND_IDS = [
    *NO_IDS,
    "017f22e2-79b0-4cc3-98c4-dc0c0c07398f",
    "017f22e2-79b0-7cc3-c8c4-dc0c0c07398f",
]
NO_TIMES = [
    None,
    True,
    1_645_557_742,
    1_645_557_742.0,
    "1645557742",
    "1645557742.5",
    "",
    "tomorrow",
    "2022-02-22",
    "2022-02-22T19:22:22",
    "2022-02-30T19:22:22Z",
    "2022-02-22T25:22:22Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59-14:00",
    "2016-12-31T22:59:60Z",
    "2016-12-31T23:59:60+01:00",
    "2016-12-31T23:59:61Z",
    "2016-02-30T23:59:60Z",
    "9999-12-31T23:59:60Z",
    {},
]
NO_NAMES = [
    None,
    1,
    "",
    " ",
    "\u3000",
    "x" * 201,
    ["A concert"],
    *(f"a{character}b" for character in "\0\t\n\x7f\x80\x85\x9f\u2028\u2029\u202e\u2066\u2069"),
]
NO_ADDRESSES = [
    None,
    1,
    "",
    "ann",
    "ann@",
    "@example.com",
    "ann@example.com\n",
    "ann@exa mple.com",
    "ann@@example.com",
    "änn@example.com",
    "ann\0@example.com",
    "x" * 250 + "@example.com",
    "x" * 240 + "@bücher.example",
    "ann@☃.example",
    "ann@bücher..example",
    "ann@bü cher.example",
    "ann@" + "ü" * 63 + ".example",
]
NO_HASHES = [
    None,
    "",
    "hunter2",
    "$argon2id$",
    "$2b$12$abc",
    f"$argon2i$v=19$m=19456,t=2,p=1${SALT}${HASH}",
    f"$argon2id$v=16$m=19456,t=2,p=1${SALT}${HASH}",
    f"$argon2id$v=19$m=65537,t=2,p=1${SALT}${HASH}",
    f"$argon2id$v=19$m=2097152,t=1,p=4${SALT}${HASH}",
    f"$argon2id$v=19$m=19456,t=6,p=1${SALT}${HASH}",
    f"$argon2id$v=19$m=19456,t=2,p=5${SALT}${HASH}",
    f"$argon2id$v=19$m=31,t=2,p=4${SALT}${HASH}",
    f"$argon2id$v=19$m=19456,t=0,p=1${SALT}${HASH}",
    f"$argon2id$v=19$m=019456,t=2,p=1${SALT}${HASH}",
    f"$argon2id$v=19$t=2,m=19456,p=1${SALT}${HASH}",
    f"$argon2id$v=19$m=19456,t=2,p=1$${HASH}",
    f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 9}${HASH}",
    f"$argon2id$v=19$m=19456,t=2,p=1${'A' * 88}${HASH}",
    f"$argon2id$v=19$m=19456,t=2,p=1${SALT}${'A' * 9}",
    f"$argon2id$v=19$m=19456,t=2,p=1${SALT}${'A' * 88}",
    f"$argon2id$v=19$m=19456,t=2,p=1${SALT}${HASH} ",
    f"$argon2id$v=19$m=\u0661,t=2,p=1${SALT}${HASH}",
]

BAD_FIELDS: list[tuple[str, str, list[Any]]] = [
    ("release_cart", "command_id", NO_COMMAND_IDS),
    ("release_cart", "user_id", NO_IDS),
    ("release_cart", "submitted_at", NO_TIMES),
    ("release_cart", "deadline", NO_TIMES[1:]),
    ("release_item", "ticket_type_id", NO_IDS),
    ("cancel_event", "event_id", NO_IDS),
    ("set_quantity", "quantity", [q for q in NO_QUANTITIES if q != 0]),
    ("create_event", "name", NO_NAMES),
    ("create_event", "ends_at", [*NO_TIMES, "2022-03-01T19:00:00Z", "2021-01-01T00:00:00Z"]),
    ("create_ticket_type", "total_quantity", [*NO_TOTALS, None]),
    ("create_ticket_type", "sale_ends_at", [*NO_TIMES, "2022-02-22T19:22:22Z"]),
    ("change_ticket_type", "total_quantity", NO_TOTALS),
    ("change_ticket_type", "name", NO_NAMES[1:]),
    ("change_ticket_type", "sale_ends_at", ["2022-02-22T19:22:22Z"]),
    ("create_event", "currency", NO_CURRENCIES),
    ("create_event", "payment_agent_id", NO_IDS[1:]),
    ("create_ticket_type", "unit_price", NO_PRICES),
    ("create_ticket_type", "min_per_order", NO_QUANTITIES),
    ("create_ticket_type", "max_per_order", NO_LIMITS),
    ("create_ticket_type", "max_per_user", NO_LIMITS),
    ("change_ticket_type", "unit_price", [price for price in NO_PRICES if price is not None]),
    ("change_ticket_type", "lower_to_committed", [False, 1, "true", {}]),
    ("check_out", "expected_total", [amount for amount in NO_AMOUNTS if amount != 0]),
    ("record_payment", "payment_id", NO_PAYMENT_IDS),
    ("record_payment", "amount", [*NO_AMOUNTS, None]),
    ("record_payment", "currency", NO_CURRENCIES),
    ("record_refund", "refund_id", NO_PAYMENT_IDS),
    ("record_refund", "amount", [*NO_AMOUNTS, None]),
    ("release_tickets", "items", [None, [], {}, "x", [None], [{}]]),
    ("release_tickets", "keep_amount", [amount for amount in NO_AMOUNTS if amount != 0]),
    ("cancel_order", "order_id", NO_IDS),
    ("cancel_order", "keep_amount", [amount for amount in NO_AMOUNTS if amount != 0]),
    ("extend_order", "pay_by", NO_TIMES),
    ("register_user", "email", NO_ADDRESSES),
    ("register_user", "password_hash", NO_HASHES),
    ("reserve_tickets", "items", [None, [], {}, "x", [None], [{}]]),
]
BAD_VALUES = [(kind, field, value) for kind, field, values in BAD_FIELDS for value in values]


@pytest.mark.parametrize(("kind", "field", "value"), BAD_VALUES, ids=label)
def test_a_bad_value_is_refused_by_the_name_of_its_field(kind: str, field: str, value: Any) -> None:
    """Or by the sentence that says how fields must relate. The message is in words."""
    error = error_of(body_of(kind) | {field: value})

    assert field in error
    assert "pattern" not in error
    assert "Value error" not in error
    assert "^" not in error


@pytest.mark.parametrize("quantity", NO_QUANTITIES, ids=label)
def test_a_line_of_a_bad_quantity_is_refused(quantity: Any) -> None:
    items = [{"ticket_type_id": STANDING, "quantity": quantity}]

    assert "items.0.quantity" in error_of(body_of("reserve_tickets") | {"items": items})


@pytest.mark.parametrize("quantity", ["NaN", "Infinity", "-Infinity", "1e999", "2e0"])
def test_a_number_outside_json_is_refused(quantity: str) -> None:
    body = json.dumps([body_of("set_quantity")]).replace('"quantity": 0', f'"quantity": {quantity}')

    (entry,) = read_commands(body.encode())

    assert isinstance(entry, Unreadable)


@pytest.mark.parametrize(("count", "readable"), [(0, False), (1, True), (20, True), (21, False)])
def test_a_reservation_has_one_to_twenty_lines(count: int, readable: bool) -> None:
    items = [{"ticket_type_id": STANDING, "quantity": 1}] * count

    (entry,) = read(body_of("reserve_tickets") | {"items": items})

    assert isinstance(entry, Unreadable) is not readable


@pytest.mark.parametrize("kind", COMMANDS)
def test_an_unknown_field_is_refused(kind: str) -> None:
    for field in ("role", "state", "status", "id"):
        error_of(body_of(kind) | {field: "admin"})


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_missing_field_is_refused(kind: str) -> None:
    optional = {"deadline"}
    optional |= COMMANDS[kind].ADDED_FIELDS | {"expected_total", "keep_amount"}
    if kind == "change_event":
        optional |= {"name", "starts_at", "ends_at"}
    if kind == "change_ticket_type":
        optional |= {"name", "total_quantity", "sale_starts_at", "sale_ends_at"}
    for field in body_of(kind).keys() - optional:
        body = body_of(kind)
        del body[field]
        error_of(body)


@pytest.mark.parametrize("kind", ["", "buy_tickets", "Reserve_Tickets", None, 1, [], {}], ids=label)
def test_an_unknown_kind_is_refused(kind: Any) -> None:
    error_of(body_of("release_cart") | {"kind": kind})


@pytest.mark.parametrize("entry", NO_ENTRIES, ids=label)
def test_an_entry_that_is_not_an_object_is_refused(entry: Any) -> None:
    error_of(entry)


def test_a_change_that_changes_nothing_is_refused() -> None:
    body = body_of("change_ticket_type")

    error_of(body | dict.fromkeys(TicketTypeChanges.model_fields))


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("change_ticket_type", {"total_quantity": 5, "lower_to_committed": True}),
        ("change_ticket_type", {"min_per_order": 5, "max_per_order": 4}),
        ("create_ticket_type", {"min_per_order": 5, "max_per_user": 4}),
    ],
)
def test_fields_that_contradict_each_other_are_refused(kind: str, fields: dict[str, Any]) -> None:
    error_of(body_of(kind) | fields)
