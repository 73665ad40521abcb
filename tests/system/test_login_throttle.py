"""Guessing passwords over HTTP: bounds by address and by account, which spare the owner."""

from collections.abc import AsyncIterator, Callable

import pytest

from gateway.identity.login_throttle import MAX_WRONG_PER_ACCOUNT
from shared.ids import new_id
from tests.system.clients import PASSWORD, Person, Site, fresh_email, refused
from tests.system.guessers import Guesser, guessers_of


@pytest.fixture
async def guessers(site: Site) -> AsyncIterator[Callable[[str], Guesser]]:
    async with guessers_of(site) as at:
        yield at


async def guess_from_everywhere(
    guessers: Callable[[str], Guesser], email: str, network: str
) -> None:
    """Use up what an account has over all addresses."""
    for number in range(MAX_WRONG_PER_ACCOUNT):
        wrong = await guessers(f"{network}.{number + 1}").log_in(email, "not the password")
        refused(wrong, 401, "invalid_credentials")


async def test_wrong_passwords_from_one_address_do_not_lock_out_the_owner(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    victim, guesser = await site.newcomer(), guessers("127.1.0.1")
    for _ in range(5):
        refused(await guesser.log_in(victim.email, "not the password"), 401, "invalid_credentials")
    for password in ("not the password", PASSWORD):
        answer = await guesser.log_in(victim.email, password)
        assert refused(answer, 429, "too_many_attempts") == {}
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    assert (await guessers("127.1.0.2").log_in(victim.email, PASSWORD)).status_code == 200


async def test_an_account_has_a_bound_over_all_addresses_that_spares_a_known_one(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    victim, owner = await site.newcomer(), guessers("127.1.5.200")
    assert (await owner.log_in(victim.email, PASSWORD)).status_code == 200
    await guess_from_everywhere(guessers, victim.email, "127.1.5")
    elsewhere = guessers("127.1.5.100")
    for password in ("not the password", PASSWORD):
        answer = await elsewhere.log_in(victim.email, password)
        assert refused(answer, 429, "too_many_attempts") == {}
        assert 60 < int(answer.headers["retry-after"]) <= 600
    assert (await owner.log_in(victim.email, PASSWORD)).status_code == 200
    another = await site.newcomer()
    assert (await elsewhere.log_in(another.email, PASSWORD)).status_code == 200


async def test_a_registration_repeated_with_another_password_counts_as_a_guess(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    """Under its key, which is the user's ID, it tells whether the password is right."""
    victim, guesser = await site.newcomer(), guessers("127.1.7.1")
    for _ in range(5):
        wrong = await guesser.register(victim.email, "not the password", victim.id)
        refused(wrong, 422, "command_id_reused")
    for password in ("not the password", PASSWORD):
        answer = await guesser.register(victim.email, password, victim.id)
        assert refused(answer, 429, "too_many_attempts") == {}
    refused(await guesser.log_in(victim.email, PASSWORD), 429, "too_many_attempts")


async def test_a_refused_registration_does_not_make_a_known_address(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    victim, stranger = await site.newcomer(), guessers("127.1.9.200")
    taken = await stranger.register(victim.email, "a password of a stranger", new_id())
    refused(taken, 409, "email_taken")
    await guess_from_everywhere(guessers, victim.email, "127.1.9")
    refused(await stranger.log_in(victim.email, PASSWORD), 429, "too_many_attempts")


async def test_a_registration_repeated_unchanged_does_not_count_as_a_guess(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    email, key, newcomer = fresh_email(), new_id(), guessers("127.1.8.1")
    answers = [await newcomer.register(email, PASSWORD, key) for _ in range(8)]
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1


async def test_an_account_that_does_not_exist_is_throttled_like_one_that_does(
    site: Site, guessers: Callable[[str], Guesser]
) -> None:
    victim, unknown = await site.newcomer(), fresh_email()
    answers = []
    for email, network in ((victim.email, "127.1.2"), (unknown, "127.1.3")):
        await guess_from_everywhere(guessers, email, network)
        answers.append(await guessers(f"{network}.100").log_in(email, "not the password"))
    one, other = answers
    assert one.status_code == other.status_code == 429
    assert one.content == other.content
    assert abs(int(one.headers["retry-after"]) - int(other.headers["retry-after"])) <= 10


async def test_the_sixth_wrong_password_from_an_address_is_not_checked(
    organizer: Person, guessers: Callable[[str], Guesser]
) -> None:
    guesser = guessers("127.1.4.1")
    for number in range(5):
        # The header has no effect: this gateway trusts no proxy.
        answer = await guesser.log_in(
            fresh_email(), "not the password", **{"X-Forwarded-For": f"198.51.100.{number}"}
        )
        refused(answer, 401, "invalid_credentials")
    refused(await guesser.log_in(organizer.email, PASSWORD), 429, "too_many_attempts")
    assert (await guessers("127.1.4.2").log_in(organizer.email, PASSWORD)).status_code == 200
