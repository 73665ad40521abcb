"""Hashing and checking passwords."""

import asyncio
import unicodedata

import pytest
from argon2.low_level import Type, hash_secret
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.problems import ProblemError
from gateway.identity import passwords
from gateway.identity.passwords import Passwords, opaque_string
from shared.ids import new_id

SECRET = "a secret of the tests, of more than 32 bytes"


@pytest.fixture
def checker():
    checker = Passwords(SECRET)
    yield checker
    checker.close()


async def test_a_retry_under_the_same_command_id_has_the_same_hash(checker: Passwords):
    command_id = new_id()
    first, again, other_id, other_password = [
        await checker.hash("correct horse battery", command_id),
        await Passwords(SECRET).hash("correct horse battery", command_id),
        await checker.hash("correct horse battery", new_id()),
        await checker.hash("correct horse batterY", command_id),
    ]
    assert first == again
    assert len({first, other_id, other_password}) == 3
    assert first.startswith("$argon2id$v=19$m=19456,t=2,p=1$")


async def test_the_salt_depends_on_the_secret(checker: Passwords):
    command_id = new_id()
    other = Passwords("another secret, also of more than 32 bytes")
    assert await checker.hash("a password", command_id) != await other.hash(
        "a password", command_id
    )


async def test_only_the_right_password_matches(checker: Passwords):
    password_hash = await checker.hash("correct horse battery", new_id())
    assert await checker.matches("correct horse battery", password_hash)
    assert not await checker.matches("correct horse batterY", password_hash)
    assert not await checker.matches("", password_hash)
    assert not await checker.matches("correct horse battery", None)
    assert not await checker.matches("correct horse battery", "$argon2id$nonsense")


async def test_a_check_without_a_user_costs_as_much_as_one_with_a_user(
    checker: Passwords, monkeypatch: pytest.MonkeyPatch
):
    checked: list[bytes] = []
    monkeypatch.setattr(
        passwords, "verify_secret", lambda against, *_: checked.append(against) or False
    )
    known = await checker.hash("correct horse battery", new_id())
    await checker.matches("wrong", known)
    await checker.matches("wrong", None)
    parameters = [against.rpartition(b"p=1$")[0] for against in checked]
    assert parameters[0] == parameters[1]
    assert [len(against) for against in checked] == [len(known)] * 2


async def test_waiting_passwords_have_a_bound(checker: Passwords, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    answers = await asyncio.gather(
        *(checker.matches("x", None) for _ in range(5)), return_exceptions=True
    )
    assert answers[:3] == [False] * 3
    assert all(isinstance(a, ProblemError) and a.code == "overloaded" for a in answers[3:])
    assert not await checker.matches("x", None)


async def test_registrations_leave_room_for_log_ins(
    checker: Passwords, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(passwords, "MAX_WAITING", 5)
    monkeypatch.setattr(passwords, "MAX_NEW_WAITING", 2)
    registrations = [checker.hash("x", new_id()) for _ in range(10)]
    *registered, logged_in = await asyncio.gather(
        *registrations, checker.matches("x", None), return_exceptions=True
    )
    assert [type(each) for each in registered] == [str] * 2 + [ProblemError] * 8
    assert logged_in is False
    assert await checker.hash("x", new_id())


EXPENSIVE = [
    "$argon2id$v=19$m=2097152,t=1,p=4$c29tZXNhbHQxMjM0NTY3OA$" + "A" * 43,
    "$argon2id$v=19$m=19456,t=1000000,p=1$c29tZXNhbHQxMjM0NTY3OA$" + "A" * 43,
    "$argon2id$v=19$m=19456,t=2,p=4096$c29tZXNhbHQxMjM0NTY3OA$" + "A" * 43,
]


@pytest.mark.parametrize("password_hash", EXPENSIVE)
async def test_a_stored_hash_beyond_the_bounds_is_not_checked(
    checker: Passwords, monkeypatch: pytest.MonkeyPatch, password_hash: str
):
    checked: list[bytes] = []
    monkeypatch.setattr(
        passwords, "verify_secret", lambda against, *_: checked.append(against) or True
    )
    assert not await checker.matches("correct horse battery", password_hash)
    assert checked == [passwords.DUMMY_HASH.encode()]


COMPOSED, DECOMPOSED = "crème brûlée à gogo", "cre\u0300me bru\u0302le\u0301e a\u0300 gogo"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (DECOMPOSED, COMPOSED),
        (COMPOSED, COMPOSED),
        ("no\u00a0break\u3000space", "no break space"),
        ("Ångström K", "Ångström K"),
        ("ﬁ ② \uff57\uff49\uff44\uff45", "ﬁ ② \uff57\uff49\uff44\uff45"),
        (" Case And  Spaces Are Kept ", " Case And  Spaces Are Kept "),
        ("👩\u200d🚒 \u0645\u06cc\u200c\u062e", "👩\u200d🚒 \u0645\u06cc\u200c\u062e"),
    ],
)
def test_the_normal_form_of_a_password_is_that_of_rfc_8265(text: str, expected: str):
    assert opaque_string(text) == expected
    assert opaque_string(expected) == expected


@given(st.text())
def test_the_normal_form_is_stable(text: str):
    try:
        normal = opaque_string(text)
    except ValueError:
        return
    assert opaque_string(normal) == normal
    assert opaque_string(unicodedata.normalize("NFD", text)) == normal


@pytest.mark.parametrize(
    "character", ["\0", "\t", "\n", "\x7f", "\x85", "\u2028", "\ue000", "\uffff", "\ud800"]
)
def test_a_password_has_no_control_and_no_unassigned_characters(character: str):
    with pytest.raises(ValueError, match="must not contain"):
        opaque_string(f"correct horse{character}battery")


async def test_a_password_is_right_in_either_spelling(checker: Passwords):
    password_hash = await checker.hash(opaque_string(DECOMPOSED), new_id())
    assert await checker.matches(COMPOSED, password_hash)
    assert await checker.matches(DECOMPOSED, password_hash)


@pytest.mark.parametrize("password", [DECOMPOSED, "a tab\tas it was typed", "no\u00a0break space"])
async def test_a_password_that_was_stored_as_typed_stays_valid(checker: Passwords, password: str):
    stored = hash_secret(password.encode(), b"s" * 16, 2, 19_456, 1, 32, Type.ID).decode()
    assert await checker.matches(password, stored)


@pytest.mark.parametrize(
    ("password", "checks"), [("wrong", 1), (COMPOSED, 1), ("wr\0ng", 1), (DECOMPOSED, 2)]
)
@pytest.mark.parametrize("known", [True, False])
async def test_only_a_password_that_is_not_in_its_normal_form_is_checked_twice(
    checker: Passwords,
    monkeypatch: pytest.MonkeyPatch,
    password: str,
    checks: int,
    known: bool,
):
    checked: list[bytes] = []
    monkeypatch.setattr(
        passwords, "verify_secret", lambda _, secret, __: checked.append(secret) and False
    )
    await checker.matches(password, passwords.DUMMY_HASH if known else None)
    assert len(checked) == checks


async def test_a_password_with_a_lone_surrogate_is_wrong(checker: Passwords):
    assert not await checker.matches("\ud800", await checker.hash("a password", new_id()))
