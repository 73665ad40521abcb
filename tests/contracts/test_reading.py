"""Reading a message gives one entry for each command, and never raises."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.bodies import MAX_LINES
from shared.commands import Command
from shared.ids import new_id
from shared.messages import (
    MAX_COMMANDS_A_MESSAGE,
    MAX_MESSAGE_BYTES,
    Unreadable,
    UnreadCommand,
    encode_commands,
    read_commands,
    read_unread,
)
from shared.strict_json import split_array
from tests.builders import release_cart
from tests.contracts.examples import COMMANDS, USER
from tests.contracts.reading import CANARY, HASH, SALT, body_of, error_of, label, read

# --- malformed messages ---------------------------------------------------------------------

NO_MESSAGES = {
    "empty": b"",
    "no JSON": CANARY.encode(),
    "half of an array": b'[{"kind":',
    "an object": b'{"kind": "release_cart"}',
    "a text": json.dumps(CANARY).encode(),
    "null": b"null",
    "an empty array": b"[]",
    "no UTF-8": b'["\xff\xfe"]',
    "a lone surrogate": b'["\\ud800"]',
    "a hundred thousand levels": b"[" * 100_000,
    "a number of 5000 digits": b"[" + b"9" * 5_000 + b"]",
    "two documents": b"[] []",
}


@pytest.mark.parametrize("body", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_a_malformed_body_is_one_unreadable_entry(body: bytes) -> None:
    (entry,) = read_commands(body)

    assert isinstance(entry, Unreadable)
    assert entry.body == body
    assert (entry.command_id, entry.kind, entry.submitted_at) == (None, None, None)
    assert CANARY not in entry.error
    assert len(entry.error) < 300


@pytest.mark.parametrize(("count", "readable"), [(1, True), (100, True), (101, False)])
def test_a_message_carries_one_to_a_hundred_commands(count: int, readable: bool) -> None:
    entries = read_commands(encode_commands_unchecked([release_cart(USER)] * count))

    assert len(entries) == (count if readable else 1)
    assert isinstance(entries[0], Unreadable) is not readable


def encode_commands_unchecked(commands: list[Command]) -> bytes:
    return b"[" + b",".join(encode_commands([one])[1:-1] for one in commands) + b"]"


@pytest.mark.parametrize(("excess", "readable"), [(0, True), (1, False)])
def test_a_message_has_at_most_256_kib(excess: int, readable: bool) -> None:
    body = encode_commands([release_cart(USER)])
    padded = body + b" " * (MAX_MESSAGE_BYTES + excess - len(body))

    (entry,) = read_commands(padded)

    assert isinstance(entry, Unreadable) is not readable


def test_the_limits_match_the_contract() -> None:
    assert (MAX_COMMANDS_A_MESSAGE, MAX_MESSAGE_BYTES, MAX_LINES) == (100, 256 * 1024, 20)


# --- valid commands -------------------------------------------------------------------------


def test_bad_commands_do_not_affect_good_ones() -> None:
    good = release_cart(USER)
    written = json.loads(encode_commands([good]))[0]

    entries = read(written, written | {"user_id": 1}, written, None, written)

    assert [entry if entry == good else type(entry) for entry in entries] == [
        good,
        Unreadable,
        good,
        Unreadable,
        good,
    ]


@pytest.mark.parametrize("name", ["x", "x" * 200, "Ø — \u200f☃ 演唱会", " a "])
def test_a_name_is_any_line_of_text(name: str) -> None:
    (event,) = read(body_of("create_event") | {"name": name})

    assert event.name == name


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_name_is_one_line_to_every_reader(name: str) -> None:
    (event,) = read(body_of("create_event") | {"name": name})

    assert isinstance(event, Unreadable) or event.name.splitlines() == [name]


@settings(deadline=None)
@given(st.text("aZ0.+-", min_size=1), st.text("aZ0äÖßéλ日本\uff41。.-", min_size=1, max_size=20))
def test_an_email_address_that_was_read_is_read_unchanged_again(name: str, domain: str) -> None:
    (command,) = read(body_of("register_user") | {"email": f"{name}@{domain}"})
    if isinstance(command, Unreadable):
        return
    assert command.email.isascii()
    assert read_commands(encode_commands([command])) == [command]


def test_a_time_of_any_offset_is_read_as_utc() -> None:
    body = body_of("release_cart") | {"submitted_at": "2022-02-22T14:22:22.5-05:00"}

    (command,) = read(body)

    assert command.submitted_at.isoformat() == "2022-02-22T19:22:22.500000+00:00"


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31t23:59:60.25z", "2017-01-01T00:00:00.250000+00:00"),
        ("2017-01-01T05:44:60+05:45", "2017-01-01T00:00:00+00:00"),
        ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00+00:00"),
    ],
)
def test_a_leap_second_is_read_as_the_second_after_it(text: str, instant: str) -> None:
    (command,) = read(body_of("release_cart") | {"submitted_at": text})

    assert command.submitted_at.isoformat() == instant


@pytest.mark.parametrize(
    ("text", "email"),
    [
        ("Ann@Example.com", "Ann@Example.com"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("Ann@Bu\u0308CHER.example", "Ann@xn--bcher-kva.example"),
        ("ann@XN--BCHER-KVA.example", "ann@XN--BCHER-KVA.example"),
        ("ann@faß.example", "ann@xn--fa-hia.example"),
        ("ann@例え。テスト", "ann@xn--r8jz45g.xn--zckzah"),
    ],
)
def test_an_international_domain_is_read_in_ascii(text: str, email: str) -> None:
    (command,) = read(body_of("register_user") | {"email": text})

    assert command.email == email


@pytest.mark.parametrize(
    "parameters",
    ["m=65536,t=3,p=4", "m=47104,t=1,p=1", "m=19456,t=2,p=1", "m=7168,t=5,p=1", "m=32,t=1,p=4"],
)
def test_a_hash_of_usual_parameters_is_taken(parameters: str) -> None:
    """Those that RFC 9106 (where memory is scarce) and OWASP recommend, among others."""
    password_hash = f"$argon2id$v=19${parameters}${SALT}${HASH}"
    (command,) = read(body_of("register_user") | {"password_hash": password_hash})

    assert command.password_hash == password_hash


def test_ids_are_read_in_their_canonical_form() -> None:
    body = body_of("release_item")
    upper = body | {k: body[k].upper() for k in ("command_id", "user_id", "ticket_type_id")}

    assert read(upper) == [COMMANDS["release_item"]]


@pytest.mark.parametrize("field", ["deadline"])
def test_optional_fields_may_be_left_out(field: str) -> None:
    body = body_of("release_cart")
    del body[field]

    (command,) = read(body)

    assert getattr(command, field) is None


# --- the entry of an unreadable command -----------------------------------------------------


def test_an_unreadable_command_keeps_the_fields_that_could_be_read() -> None:
    body = body_of("reserve_tickets") | {"items": []}

    (entry,) = read(body)

    assert (entry.command_id, entry.kind) == (body["command_id"], "reserve_tickets")
    assert entry.submitted_at == COMMANDS["reserve_tickets"].submitted_at


@pytest.mark.parametrize("field", ["command_id", "kind", "submitted_at"])
def test_fields_that_could_not_be_read_are_null(field: str) -> None:
    (entry,) = read(body_of("reserve_tickets") | {field: 1})

    assert getattr(entry, field) is None
    assert sum(getattr(entry, f) is None for f in ("command_id", "kind", "submitted_at")) == 1


def test_the_body_of_an_unreadable_command_can_be_republished() -> None:
    bad = body_of("reserve_tickets") | {"items": []}
    good = body_of("release_cart")

    _, entry, _ = read(good, bad, good)

    assert json.loads(entry.body) == [bad]


@pytest.mark.parametrize("field", ["email", "password_hash", "user_id", "submitted_at", "deadline"])
@pytest.mark.parametrize("value", [CANARY, [CANARY], {CANARY: CANARY}], ids=label)
def test_an_error_never_quotes_a_value(field: str, value: Any) -> None:
    assert CANARY not in error_of(body_of("register_user") | {field: value})


@pytest.mark.parametrize("kind", [CANARY, [CANARY], {CANARY: 1}], ids=label)
def test_an_error_never_quotes_a_kind(kind: Any) -> None:
    assert CANARY not in error_of(body_of("register_user") | {"kind": kind})


def test_an_error_never_quotes_the_name_of_an_unknown_field() -> None:
    assert CANARY not in error_of(body_of("register_user") | {CANARY: 1})


@pytest.mark.parametrize(
    "entry",
    [
        body_of("release_cart") | {"x" * 100_000: 1},
        body_of("release_cart") | {"kind": "x" * 100_000},
        body_of("release_cart") | {f"field {n}": n for n in range(1_000)},
    ],
    ids=["a long field", "a long kind", "many fields"],
)
def test_an_error_is_short_enough_for_a_header(entry: Any) -> None:
    """It becomes a header of the dead letter, and an AMQP frame is at most 128 KiB."""
    assert len(error_of(entry)) < 2_000


# --- random input ---------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=10,
)
mangled_commands = st.builds(
    lambda kind, changes: body_of(kind) | changes,
    st.sampled_from(list(COMMANDS)),
    st.dictionaries(
        st.sampled_from(["kind", "command_id", "submitted_at", "deadline", "items", "quantity"])
        | st.text(max_size=5),
        json_values | st.datetimes().map(str),
        max_size=3,
    ),
)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_reading_random_bytes_never_raises(body: bytes) -> None:
    assert len(read_commands(body)) >= 1


@settings(deadline=None, max_examples=200)
@given(st.lists(json_values | mangled_commands, min_size=1, max_size=5))
def test_random_json_is_read_entry_by_entry(entries: list[Any]) -> None:
    body = json.dumps(entries).encode()

    read_entries = read_commands(body)

    assert len(read_entries) in (1, len(entries))
    for entry in read_entries:
        if not isinstance(entry, Unreadable):
            assert read_commands(encode_commands([entry])) == [entry]


@settings(deadline=None)
@given(st.datetimes(), st.integers(-14 * 60, 14 * 60))
def test_random_times_with_an_offset_are_read_or_refused(at: Any, minutes: int) -> None:
    sign = "-" if minutes < 0 else "+"
    offset = f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
    body = body_of("release_cart") | {"submitted_at": f"{at.isoformat()}{offset}"}

    assert len(read(body)) == 1


def test_a_new_id_is_read() -> None:
    (command,) = read(body_of("release_cart") | {"command_id": new_id()})

    assert not isinstance(command, Unreadable)


# --- a broken command beside good ones ------------------------------------------------------

BROKEN_ENTRIES = {
    "a lone surrogate in a name": rb'{"kind": "create_event", "name": "\ud800"}',
    "a lone surrogate as a member": rb'{"\udfff": 1}',
    "a quote behind a backslash": rb'{"kind": "\\\"]},["}',
    "not a number": b"[NaN]",
    "a number of 5000 digits": b"9" * 5_000,
    "a number of 5000 digits in a member": b'{"quantity": ' + b"9" * 5_000 + b"}",
    "ten thousand levels": b"[" * 10_000 + b"]" * 10_000,
    "no UTF-8": b'"\xff\xfe"',
    "no JSON value": b"nothing",
    "a control character in a string": b'"\x00"',
    "two values": b"{} {}",
}


@pytest.mark.parametrize("broken", BROKEN_ENTRIES.values(), ids=BROKEN_ENTRIES)
def test_a_broken_entry_spoils_no_other(broken: bytes) -> None:
    good = [encode_commands([COMMANDS[kind]])[1:-1] for kind in ("release_cart", "reserve_tickets")]

    first, unreadable, last = read_commands(b"[%b, %b ,%b]" % (good[0], broken, good[1]))

    assert [first, last] == [COMMANDS["release_cart"], COMMANDS["reserve_tickets"]]
    assert isinstance(unreadable, Unreadable)
    assert unreadable.body == b"[%b]" % broken


def test_an_entry_with_a_lone_surrogate_keeps_its_envelope() -> None:
    body = body_of("create_event") | {"name": "\ud800"}

    (unreadable,) = read(body)

    assert isinstance(unreadable, Unreadable)
    assert unreadable.command_id == body["command_id"]
    assert unreadable.kind == "create_event"
    assert unreadable.submitted_at is not None


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": "), (" , ", "\n:\t")])
@pytest.mark.parametrize("member", ["kind", "command_id", "user_id", "items", "quantity"])
def test_a_repeated_member_is_refused_and_its_neighbours_are_read(
    member: str, separators: tuple[str, str]
) -> None:
    good = json.dumps(body_of("reserve_tickets"), separators=separators)
    assert f'"{member}"' in good
    start = good.index(f'"{member}"')
    value = json.JSONDecoder().raw_decode(good[start + len(member) + 2 :].lstrip("\n:\t "))[0]
    repeated = json.dumps({member: value}, separators=separators)[1:-1] + separators[0]
    bad = good[:start] + repeated + good[start:]

    first, unreadable, last = read_commands(f"[{good},{bad},{good}]".encode())

    assert first == last == COMMANDS["reserve_tickets"]
    assert isinstance(unreadable, Unreadable)
    assert unreadable.error == "an object names a member twice"
    assert (unreadable.command_id is None) is (member == "command_id")


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_an_array_is_split_into_the_texts_of_its_entries(value: Any) -> None:
    entries = [value, [value], {"member": value}]
    for ensure_ascii in (True, False):
        body = json.dumps(entries, ensure_ascii=ensure_ascii).encode(errors="surrogatepass")

        split = split_array(body)

        assert split is not None
        assert [json.loads(one) for one in split] == entries


@given(st.lists(st.sampled_from([b"[", b"]", b"{", b"}", b",", b'"', b"\\", b"1", b" "])))
def test_whatever_is_read_raises_nothing(parts: list[bytes]) -> None:
    assert read_commands(b"".join(parts))


# --- the envelope alone ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", COMMANDS)
def test_the_envelope_of_a_command_is_read_alone(kind: str) -> None:
    command = COMMANDS[kind]
    body = json.dumps([body_of(kind) | {"unknown": ["\ud800", 10**30]}], indent=1).encode()

    assert read_unread(body) == UnreadCommand(
        command.command_id, command.user_id, command.kind, command.submitted_at
    )


@pytest.mark.parametrize("field", ["command_id", "user_id", "kind", "submitted_at"])
def test_an_envelope_without_a_field_or_with_a_bad_or_repeated_one_is_not_read(field: str) -> None:
    fields = body_of("release_cart")
    text = json.dumps(fields)
    repeated = f'{text[:-1]},"{field}":{json.dumps(fields[field])}}}'
    without = json.dumps({name: value for name, value in fields.items() if name != field})
    bad = json.dumps(fields | {field: "x"})

    assert read_unread(f"[{text}]".encode()) is not None
    assert [read_unread(f"[{one}]".encode()) for one in (repeated, without, bad)] == [None] * 3


@pytest.mark.parametrize("body", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_no_envelope_is_read_from_a_malformed_message(body: bytes) -> None:
    assert read_unread(body) is None


def test_no_envelope_is_read_from_several_commands() -> None:
    assert read_unread(encode_commands([release_cart(USER), release_cart(USER)])) is None
