"""The log-in throttle: beyond its bounds a password is not checked, right or wrong."""

import asyncio

import pytest

from gateway.http.problems import ProblemError
from gateway.identity import login_throttle
from gateway.identity.login_throttle import (
    ACCOUNT_WINDOW_SECONDS,
    KNOWN_DEVICE_SECONDS,
    MAX_WRONG_PER_ACCOUNT,
    MAX_WRONG_PER_ACCOUNT_AND_ADDRESS,
    WINDOW_SECONDS,
    LoginThrottle,
)

ADA, BOB = "ada@example.com", "bob@example.com"
HOME, ELSEWHERE = "10.0.0.1", "10.0.0.2"


class Clock:
    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


class Client:
    """Tries passwords and counts those that were checked."""

    def __init__(self, wrong_per_address: int = 5) -> None:
        self.clock = Clock()
        self.throttle = LoginThrottle(wrong_per_address, self.clock)
        self.checked = 0
        self.retry_after: str | None = None

    async def attempt(
        self, account: str = ADA, address: str = HOME, *, right: bool = False, seconds: float = 0
    ) -> str:
        """Return "right", or the code of the problem; the check takes so many seconds."""
        try:
            async with self.throttle.attempt(account, address):
                self.checked += 1
                await asyncio.sleep(seconds)
                check(right)
        except ProblemError as problem:
            self.retry_after = (problem.headers or {}).get("Retry-After")
            return problem.code
        self.throttle.remember_device(account, address)
        return "right"

    async def guess_from_everywhere(self, account: str = ADA) -> None:
        """Use up what the account has over all addresses."""
        for number in range(MAX_WRONG_PER_ACCOUNT):
            assert await self.attempt(account, f"10.1.0.{number}") == "invalid_credentials"


def check(right: bool) -> None:
    if not right:
        raise ProblemError("invalid_credentials")


@pytest.fixture
def client() -> Client:
    return Client()


async def test_an_account_and_an_address_have_five_wrong_passwords_a_minute():
    client = Client(wrong_per_address=1_000)
    for _ in range(MAX_WRONG_PER_ACCOUNT_AND_ADDRESS):
        assert await client.attempt() == "invalid_credentials"
    assert await client.attempt() == "too_many_attempts"
    assert client.checked == MAX_WRONG_PER_ACCOUNT_AND_ADDRESS
    assert client.retry_after == str(WINDOW_SECONDS)


async def test_wrong_passwords_from_one_address_do_not_lock_the_account_at_another(client: Client):
    for _ in range(10):
        await client.attempt()
    assert await client.attempt(address=ELSEWHERE, right=True) == "right"


async def test_an_address_has_as_many_wrong_passwords_as_the_setting_says(client: Client):
    for number in range(5):
        assert await client.attempt(f"{number}@example.com") == "invalid_credentials"
    assert await client.attempt() == "too_many_attempts"
    assert await client.attempt(address=ELSEWHERE) == "invalid_credentials"


async def test_an_account_has_a_slower_bound_over_all_addresses(client: Client):
    await client.guess_from_everywhere()
    assert await client.attempt(address=ELSEWHERE) == "too_many_attempts"
    assert client.checked == MAX_WRONG_PER_ACCOUNT
    assert client.retry_after == str(ACCOUNT_WINDOW_SECONDS)
    assert MAX_WRONG_PER_ACCOUNT / ACCOUNT_WINDOW_SECONDS < 5 / WINDOW_SECONDS


async def test_a_known_device_passes_the_bound_over_all_addresses(client: Client):
    assert await client.attempt(right=True) == "right"
    await client.guess_from_everywhere()
    assert await client.attempt(right=True) == "right"
    assert await client.attempt(address=ELSEWHERE, right=True) == "too_many_attempts"


async def test_a_device_is_known_for_its_own_account_only(client: Client):
    assert await client.attempt(BOB, right=True) == "right"
    await client.guess_from_everywhere()
    assert await client.attempt(right=True) == "too_many_attempts"


async def test_a_known_device_has_five_wrong_passwords_too():
    client = Client(wrong_per_address=1_000)
    assert await client.attempt(right=True) == "right"
    for _ in range(5):
        assert await client.attempt() == "invalid_credentials"
    assert await client.attempt(right=True) == "too_many_attempts"


async def test_a_device_is_forgotten_after_a_month(client: Client):
    assert await client.attempt(right=True) == "right"
    client.clock.seconds += KNOWN_DEVICE_SECONDS
    await client.guess_from_everywhere()
    assert await client.attempt(right=True) == "too_many_attempts"


async def test_known_devices_have_a_bound(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(login_throttle, "MAX_KNOWN_DEVICES", 10)
    for number in range(30):
        client.throttle.remember_device(f"{number}@example.com", HOME)
    assert len(client.throttle._known_devices) == 10


async def test_a_right_password_is_refused_as_well(client: Client):
    for _ in range(5):
        await client.attempt()
    assert await client.attempt(right=True) == "too_many_attempts"
    assert await client.attempt(BOB, right=True) == "too_many_attempts"
    assert await client.attempt(BOB, ELSEWHERE, right=True) == "right"


async def test_a_wrong_password_counts_for_a_minute(client: Client):
    for _ in range(5):
        await client.attempt()
        client.clock.seconds += 1
    client.clock.seconds += WINDOW_SECONDS - 10
    assert await client.attempt() == "too_many_attempts"
    assert client.retry_after == "5"
    client.clock.seconds += 5
    assert await client.attempt() == "invalid_credentials"
    assert await client.attempt() == "too_many_attempts"


async def test_refused_attempts_do_not_extend_the_wait(client: Client):
    for _ in range(5):
        await client.attempt()
    for _ in range(50):
        client.clock.seconds += 1
        assert await client.attempt() == "too_many_attempts"
    client.clock.seconds += 10
    assert await client.attempt(right=True) == "right"


async def test_right_passwords_neither_count_nor_reset_the_count(client: Client):
    for _ in range(20):
        assert await client.attempt(right=True) == "right"
    for _ in range(4):
        await client.attempt()
    assert await client.attempt(right=True) == "right"
    assert await client.attempt() == "invalid_credentials"
    assert await client.attempt() == "too_many_attempts"


async def test_other_failures_do_not_count(client: Client):
    for _ in range(10):
        with pytest.raises(ProblemError, match="overloaded"):
            async with client.throttle.attempt(ADA, HOME):
                raise ProblemError("overloaded")
    assert await client.attempt() == "invalid_credentials"


async def test_a_hundred_attempts_at_once_are_no_more_guesses(client: Client):
    answers = await asyncio.gather(*(client.attempt(seconds=0.01) for _ in range(100)))
    assert sorted(answers) == ["invalid_credentials"] * 5 + ["too_many_attempts"] * 95
    assert client.checked == 5


async def test_many_right_passwords_at_once_all_pass(client: Client):
    answers = await asyncio.gather(
        *(client.attempt(f"{n}@example.com", right=True, seconds=0.001) for n in range(50))
    )
    assert set(answers) == {"right"}


async def test_the_bound_of_an_address_may_be_one():
    client = Client(wrong_per_address=1)
    answers = await asyncio.gather(
        *(client.attempt(f"{n}@example.com", seconds=0.001) for n in range(5))
    )
    assert sorted(answers) == ["invalid_credentials"] + ["too_many_attempts"] * 4


async def test_waiting_attempts_have_a_bound(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(login_throttle, "MAX_WAITING", 3)
    answers = await asyncio.gather(*(client.attempt(right=True, seconds=0.01) for _ in range(10)))
    assert sorted(answers) == ["overloaded"] * 2 + ["right"] * 8


async def test_a_client_that_leaves_while_it_waits_leaves_nothing_behind(client: Client):
    tasks = [asyncio.create_task(client.attempt(right=True, seconds=5)) for _ in range(10)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert client.throttle._waiting == 0
    assert not client.throttle._counters


async def test_counters_have_a_bound(client: Client, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(login_throttle, "MAX_COUNTERS", 10)
    for number in range(30):
        await client.attempt(f"{number}@example.com", f"10.0.0.{number}")
    assert len(client.throttle._counters) == 10


async def test_no_address_is_kept_as_text(client: Client):
    await client.attempt("canary@example.com")
    await client.attempt("canary@example.com", right=True)
    keys = [*client.throttle._counters, *client.throttle._known_devices]
    assert keys
    assert all(len(key) == 16 and b"canary" not in key for key in keys)


async def test_a_name_that_contains_another_key_counts_for_itself(client: Client):
    """A user name may be any text: none may count for another account."""
    for number in range(MAX_WRONG_PER_ACCOUNT):
        await client.attempt(f"at address {ADA} {HOME}", f"10.1.0.{number}")
    assert await client.attempt(right=True) == "right"
