"""Hashing passwords."""

import asyncio

import pytest

from gateway.http.problems import ProblemError
from gateway.identity import passwords
from gateway.identity.passwords import Passwords
from shared.ids import new_id

SECRET = "a secret of the tests, of more than 32 bytes"


@pytest.fixture
def checker():
    checker = Passwords(SECRET)
    yield checker
    checker.close()


async def test_a_retry_under_the_same_id_has_the_same_hash(checker: Passwords):
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


async def test_the_salt_cannot_be_made_without_the_secret(checker: Passwords):
    command_id = new_id()
    other = Passwords("another secret, also of more than 32 bytes")
    assert await checker.hash("a password", command_id) != await other.hash(
        "a password", command_id
    )


async def test_only_the_right_one_matches(checker: Passwords):
    password_hash = await checker.hash("correct horse battery", new_id())
    assert await checker.matches("correct horse battery", password_hash)
    assert not await checker.matches("correct horse batterY", password_hash)
    assert not await checker.matches("", password_hash)
    assert not await checker.matches("correct horse battery", None)
    assert not await checker.matches("correct horse battery", "$argon2id$nonsense")


async def test_an_unknown_user_costs_what_a_known_one_does(
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


async def test_the_line_has_an_end(checker: Passwords, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(passwords, "MAX_WAITING", 3)
    answers = await asyncio.gather(
        *(checker.matches("x", None) for _ in range(5)), return_exceptions=True
    )
    assert answers[:3] == [False] * 3
    assert all(isinstance(a, ProblemError) and a.code == "overloaded" for a in answers[3:])
    assert not await checker.matches("x", None)


async def test_newcomers_keep_nobody_from_logging_in(
    checker: Passwords, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(passwords, "MAX_WAITING", 5)
    monkeypatch.setattr(passwords, "MAX_NEW_WAITING", 2)
    newcomers = [checker.hash("x", new_id()) for _ in range(10)]
    *registered, logged_in = await asyncio.gather(
        *newcomers, checker.matches("x", None), return_exceptions=True
    )
    assert [type(each) for each in registered] == [str] * 2 + [ProblemError] * 8
    assert logged_in is False
    assert await checker.hash("x", new_id())
