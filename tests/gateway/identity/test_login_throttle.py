"""The throttle of logins: a sixth wrong password within a minute is not even checked."""

import asyncio

import pytest

from gateway.http.problems import ProblemError
from gateway.identity import login_throttle
from gateway.identity.login_throttle import MAX_WRONG_PER_ACCOUNT, WINDOW_SECONDS, LoginThrottle


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Door:
    """Somebody who tries passwords, and counts those that were checked."""

    def __init__(self, wrong_per_address: int = 5) -> None:
        self.clock = Clock()
        self.throttle = LoginThrottle(wrong_per_address, self.clock)
        self.checked = 0

    async def attempt(
        self,
        account: str = "ada@example.com",
        address: str = "10.0.0.1",
        *,
        right: bool = False,
        takes: float = 0,
    ) -> str:
        """Return the code of what it comes to."""
        try:
            async with self.throttle.attempt(account, address):
                self.checked += 1
                await asyncio.sleep(takes)
                check(right)
        except ProblemError as problem:
            self.retry_after = (problem.headers or {}).get("Retry-After")
            return problem.code
        return "right"


def check(right: bool) -> None:
    if not right:
        raise ProblemError("invalid_credentials")


@pytest.fixture
def door() -> Door:
    return Door()


async def test_the_sixth_wrong_one_for_an_account_is_refused_unchecked(door: Door):
    for number in range(MAX_WRONG_PER_ACCOUNT):
        assert await door.attempt(address=f"10.0.0.{number}") == "invalid_credentials"
    assert await door.attempt(address="10.0.1.1") == "too_many_attempts"
    assert door.checked == MAX_WRONG_PER_ACCOUNT
    assert door.retry_after == str(WINDOW_SECONDS)


async def test_the_sixth_wrong_one_from_an_address_is_refused_unchecked(door: Door):
    for number in range(5):
        assert await door.attempt(f"{number}@example.com") == "invalid_credentials"
    assert await door.attempt("ada@example.com") == "too_many_attempts"
    assert await door.attempt("ada@example.com", "10.0.0.2") == "invalid_credentials"


async def test_the_right_one_is_refused_as_well(door: Door):
    for _ in range(5):
        await door.attempt()
    assert await door.attempt(right=True) == "too_many_attempts"
    assert await door.attempt("bob@example.com", right=True) == "too_many_attempts"
    assert await door.attempt("bob@example.com", "10.0.0.2", right=True) == "right"


async def test_after_a_minute_it_is_forgotten(door: Door):
    for _ in range(5):
        await door.attempt()
        door.clock.seconds += 1
    door.clock.seconds += WINDOW_SECONDS - 10
    assert await door.attempt() == "too_many_attempts"
    assert door.retry_after == "5"
    door.clock.seconds += 5
    assert await door.attempt() == "invalid_credentials"
    assert await door.attempt() == "too_many_attempts"


async def test_who_is_refused_is_not_kept_out_for_longer(door: Door):
    for _ in range(5):
        await door.attempt()
    for _ in range(50):
        door.clock.seconds += 1
        assert await door.attempt() == "too_many_attempts"
    door.clock.seconds += 10
    assert await door.attempt(right=True) == "right"


async def test_right_ones_are_not_counted_and_do_not_wipe_out_wrong_ones(door: Door):
    for _ in range(20):
        assert await door.attempt(right=True) == "right"
    for _ in range(4):
        await door.attempt()
    assert await door.attempt(right=True) == "right"
    assert await door.attempt() == "invalid_credentials"
    assert await door.attempt() == "too_many_attempts"


async def test_other_failures_are_not_counted(door: Door):
    for _ in range(10):
        with pytest.raises(ProblemError, match="overloaded"):
            async with door.throttle.attempt("ada@example.com", "10.0.0.1"):
                raise ProblemError("overloaded")
    assert await door.attempt() == "invalid_credentials"


async def test_a_hundred_at_once_are_no_more_guesses_than_one_by_one(door: Door):
    answers = await asyncio.gather(*(door.attempt(takes=0.01) for _ in range(100)))
    assert sorted(answers) == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 95
    assert door.checked == 5


async def test_many_right_ones_at_once_are_all_let_in(door: Door):
    answers = await asyncio.gather(
        *(door.attempt(f"{n}@example.com", right=True, takes=0.001) for n in range(50))
    )
    assert set(answers) == {"right"}


async def test_one_wrong_one_is_enough_where_one_is_the_bound():
    door = Door(wrong_per_address=1)
    answers = await asyncio.gather(
        *(door.attempt(f"{n}@example.com", takes=0.001) for n in range(5))
    )
    assert sorted(answers) == ["invalid_credentials"] + ["too_many_attempts"] * 4


async def test_the_case_of_an_address_makes_no_other_account(door: Door):
    for number in range(5):
        await door.attempt("Ada@Example.COM", f"10.0.0.{number}")
    assert await door.attempt("ada@example.com", "10.0.1.1") == "too_many_attempts"


async def test_those_that_wait_have_a_bound(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(login_throttle, "MAX_WAITING", 3)
    answers = await asyncio.gather(*(door.attempt(right=True, takes=0.01) for _ in range(10)))
    assert sorted(answers) == ["overloaded"] * 2 + ["right"] * 8


async def test_who_leaves_while_waiting_leaves_nothing_behind(door: Door):
    tasks = [asyncio.create_task(door.attempt(right=True, takes=5)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert door.throttle._waiting == 0
    assert not door.throttle._suspects


async def test_what_is_remembered_has_a_bound(door: Door, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(login_throttle, "MAX_SUSPECTS", 10)
    for number in range(30):
        await door.attempt(f"{number}@example.com", f"10.0.0.{number}")
    assert len(door.throttle._suspects) == 10


async def test_no_address_is_kept_as_text(door: Door):
    await door.attempt("canary@example.com")
    assert door.throttle._suspects
    assert all(len(key) == 16 and b"canary" not in key for key in door.throttle._suspects)
