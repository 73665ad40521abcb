"""Guessing passwords: whoever guesses wrong five times is heard no more for a minute."""

import statistics
import time
from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from shared.ids import new_id
from tests.system.clients import PASSWORD, Person, Site, fresh_email, refused

MAX_DIFFERENCE_SECONDS = 0.010
SAMPLES = 8
MAX_ROUNDS = 5
"""As many wrong passwords as an account has in a minute."""


class Guesser:
    """Somebody at an address of their own."""

    def __init__(self, site: Site, address: str) -> None:
        self.url = f"{site.urls[0]}/v1/tokens"
        transport = httpx.AsyncHTTPTransport(local_address=address)
        self.http = httpx.AsyncClient(transport=transport, timeout=20, trust_env=False)

    async def register(self, email: str, password: str, key: str) -> httpx.Response:
        body = {"email": email, "password": password}
        headers = {"Idempotency-Key": key, "Prefer": "wait=10"}
        url = self.url.replace("tokens", "users")
        return await self.http.post(url, json=body, headers=headers)

    async def log_in(self, email: str, password: str, **headers: str) -> httpx.Response:
        form = {"username": email, "password": password}
        return await self.http.post(self.url, data=form, headers=headers)


@pytest.fixture
async def guessers(site: Site) -> AsyncIterator[Callable[[str], Guesser]]:
    made: list[Guesser] = []

    def at(address: str) -> Guesser:
        made.append(Guesser(site, address))
        return made[-1]

    yield at
    for guesser in made:
        await guesser.http.aclose()


async def test_the_sixth_wrong_password_for_an_account_is_not_checked(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    victim = await site.newcomer()
    for number in range(5):
        wrong = await guessers(f"127.1.0.{number + 1}").log_in(victim.email, "not the password")
        refused(wrong, 401, "invalid_credentials")
    elsewhere = guessers("127.1.0.9")
    for password in ("not the password", PASSWORD):
        answer = await elsewhere.log_in(victim.email, password)
        assert refused(answer, 429, "too_many_attempts") == {}
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    another = await site.newcomer()
    assert (await elsewhere.log_in(another.email, PASSWORD)).status_code == 200


async def test_to_repeat_a_registration_with_another_password_is_a_guess_too(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    """Under its key, which is the user's ID, it tells whether the password is right."""
    victim = await site.newcomer()
    for number in range(5):
        wrong = await guessers(f"127.1.7.{number + 1}").register(
            victim.email, "not the password", victim.id
        )
        refused(wrong, 422, "command_id_reused")
    elsewhere = guessers("127.1.7.9")
    for password in ("not the password", PASSWORD):
        answer = await elsewhere.register(victim.email, password, victim.id)
        assert refused(answer, 429, "too_many_attempts") == {}
    refused(await elsewhere.log_in(victim.email, PASSWORD), 429, "too_many_attempts")


async def test_to_repeat_a_registration_as_it_was_is_none(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    email, key, newcomer = fresh_email(), new_id(), guessers("127.1.8.1")
    answers = [await newcomer.register(email, PASSWORD, key) for _ in range(8)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1


async def test_an_account_that_does_not_exist_is_throttled_alike(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    victim, nobody = await site.newcomer(), fresh_email()
    answers = {}
    for email, net in ((victim.email, 2), (nobody, 3)):
        for number in range(5):
            await guessers(f"127.1.{net}.{number + 1}").log_in(email, "not the password")
        answers[email] = await guessers(f"127.1.{net}.9").log_in(email, "not the password")
    one, other = answers.values()
    assert one.status_code == other.status_code == 429
    assert one.content == other.content
    assert abs(int(one.headers["retry-after"]) - int(other.headers["retry-after"])) <= 5


async def test_the_sixth_wrong_password_from_an_address_is_not_checked(
    organizer: Person, guessers: Callable[[str], Guesser]
) -> None:
    guesser = guessers("127.1.4.1")
    for number in range(5):
        # Whatever it says of itself: nobody stands before this gateway.
        answer = await guesser.log_in(
            fresh_email(), "not the password", **{"X-Forwarded-For": f"198.51.100.{number}"}
        )
        refused(answer, 401, "invalid_credentials")
    refused(await guesser.log_in(organizer.email, PASSWORD), 429, "too_many_attempts")
    assert (await guessers("127.1.4.2").log_in(organizer.email, PASSWORD)).status_code == 200


async def test_a_wrong_password_and_an_unknown_address_take_as_long(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    """Median times, taken in turn; each guess has its own address and its own account.

    On a busy machine a round may show a difference that is none; a real one shows in all.
    """
    known = [(await site.newcomer()).email for _ in range(SAMPLES)]
    differences = []
    for number in range(MAX_ROUNDS):
        took: dict[bool, list[float]] = {True: [], False: []}
        for sample in range(SAMPLES):
            for exists in (True, False):
                guesser = guessers(f"127.1.{10 + 2 * number + exists}.{sample + 1}")
                await guesser.http.get(guesser.url)  # connects
                started = time.perf_counter()
                email = known[sample] if exists else fresh_email()
                answer = await guesser.log_in(email, "not the password")
                took[exists].append(time.perf_counter() - started)
                refused(answer, 401, "invalid_credentials")
        differences.append(statistics.median(took[True]) - statistics.median(took[False]))
        if abs(differences[-1]) < MAX_DIFFERENCE_SECONDS:
            return
    raise AssertionError(differences)
