"""Idempotency: a key names a command, and a command is applied once."""

import asyncio
import json
import time

import httpx
import pytest

from shared.ids import id_at, new_id
from tests.system.amqp import Document
from tests.system.books import Books
from tests.system.clients import Person, eventually, refused, succeeded

WINDOW_MS = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


async def test_a_double_click_holds_once(books: Books, alice: Person, ticket_type_id: str) -> None:
    key = new_id()
    answers = await asyncio.gather(
        *(alice.reserve(ticket_type_id, 2, key=key, via=via) for via in (0, 1))
    )
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content
    assert await books.held_by([alice.id]) == {alice.id: {ticket_type_id: 2}}


async def test_one_key_100_times_at_once_gives_one_hold_and_100_equal_answers(
    books: Books, alice: Person, ticket_type_id: str
) -> None:
    key = new_id()
    answers = await asyncio.gather(
        *(alice.reserve(ticket_type_id, key=key, via=n % 2) for n in range(100))
    )
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1
    assert await books.held_by([alice.id]) == {alice.id: {ticket_type_id: 1}}
    await books.balance()


async def test_without_a_key_every_request_is_a_command_of_its_own(
    alice: Person, ticket_type_id: str
) -> None:
    ids = {(await alice.reserve(ticket_type_id)).json()["command_id"] for _ in range(3)}
    assert len(ids) == 3
    assert await alice.holds() == {ticket_type_id: 3}


async def test_the_key_is_the_command_id(alice: Person, ticket_type_id: str) -> None:
    key = new_id()
    assert (await alice.reserve(ticket_type_id, key=key)).json()["command_id"] == key
    assert (await alice.reserve(ticket_type_id, key=key.upper())).json()["command_id"] == key
    assert await alice.holds() == {ticket_type_id: 1}


async def test_a_refused_command_stays_refused(
    alice: Person, bob: Person, ticket_type_id: str
) -> None:
    succeeded(await bob.reserve(ticket_type_id, 10))
    key = new_id()
    first = await alice.reserve(ticket_type_id, key=key)
    refused(first, 409, "insufficient_availability")
    succeeded(await bob.release())
    again = await alice.reserve(ticket_type_id, key=key, via=1)
    assert again.content == first.content
    assert await alice.holds() == {}


async def test_a_key_given_to_another_payload_is_refused_and_changes_nothing(
    books: Books, alice: Person, ticket_type_id: str
) -> None:
    key = new_id()
    first = await alice.reserve(ticket_type_id, key=key)
    recorded = await books.outcomes([key])
    assert json.loads(recorded[key]) == first.json()
    for other in (
        await alice.reserve(ticket_type_id, 2, key=key),
        await alice.set(ticket_type_id, 1, key=key, via=1),
        await alice.release(key=key),
    ):
        assert refused(other, 422, "command_id_reused") == {"command_id": key}
    assert await books.outcomes([key]) == recorded
    assert (await alice.reserve(ticket_type_id, key=key)).content == first.content
    assert await alice.holds() == {ticket_type_id: 1}


async def test_another_users_key_is_refused_without_telling_its_outcome(
    books: Books, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    key = new_id()
    succeeded(await alice.reserve(ticket_type_id, key=key))
    for via in (0, 1):
        answer = await bob.reserve(ticket_type_id, key=key, via=via)
        assert refused(answer, 422, "command_id_reused") == {"command_id": key}
    assert await books.held_by([alice.id, bob.id]) == {alice.id: {ticket_type_id: 1}, bob.id: {}}


async def test_two_users_with_one_key_at_once_get_one_outcome_between_them(
    books: Books, alice: Person, bob: Person, ticket_type_id: str
) -> None:
    key = new_id()
    answers = await asyncio.gather(
        *(
            person.reserve(ticket_type_id, key=key, via=via)
            for person in (alice, bob)
            for via in (0, 1)
        )
    )
    statuses = [answer.status_code for answer in answers]
    assert statuses in ([200, 200, 422, 422], [422, 422, 200, 200])
    assert await books.reserved(ticket_type_id) == 1
    await books.balance()


@pytest.mark.parametrize(
    "key",
    [
        "",
        "seven",
        "4b0c2f1e-8f0e-4a57-9c1e-3a1c4be0a001",
        "01a20400-0000-1000-8000-000000000001",
        "01a20400-0000-7000-c000-000000000001",
        "01a20400000070008000000000000001",
        "{01a20400-0000-7000-8000-000000000001}",
    ],
    ids=["empty", "word", "version 4", "version 1", "other variant", "no hyphens", "braces"],
)
async def test_a_key_that_is_not_a_uuidv7_is_refused(
    alice: Person, ticket_type_id: str, key: str
) -> None:
    refused(await alice.reserve(ticket_type_id, key=key), 422, "invalid_command_id")
    assert await alice.holds() == {}


async def test_two_idempotency_keys_are_refused(alice: Person, ticket_type_id: str) -> None:
    url = f"{alice.deployment.url}/v1/reservations"
    headers = [("Authorization", f"Bearer {alice.token}")]
    headers += [("Idempotency-Key", new_id()), ("Idempotency-Key", new_id())]
    item = {"ticket_type_id": ticket_type_id, "quantity": 1}
    answer = await alice.http.post(url, json={"items": [item]}, headers=headers)
    refused(answer, 422, "invalid_command_id")


async def test_a_key_up_to_30_seconds_ahead_of_the_clock_is_taken(
    alice: Person, ticket_type_id: str
) -> None:
    succeeded(await alice.reserve(ticket_type_id, key=id_at(now_ms() + 28_000)))
    ahead = await alice.reserve(ticket_type_id, key=id_at(now_ms() + 33_000))
    refused(ahead, 422, "invalid_command_id")
    assert await alice.holds() == {ticket_type_id: 1}


async def test_a_key_older_than_the_window_is_stale(alice: Person, ticket_type_id: str) -> None:
    succeeded(await alice.reserve(ticket_type_id, key=id_at(now_ms() - WINDOW_MS + 20_000)))
    old = id_at(now_ms() - WINDOW_MS - 2_000)
    stale = await alice.reserve(ticket_type_id, key=old)
    assert refused(stale, 409, "stale_command") == {"command_id": old}
    assert await alice.holds() == {ticket_type_id: 1}


async def test_the_same_payload_in_another_notation_is_a_repetition(organizer: Person) -> None:
    key = new_id()
    answers = [
        await organizer.ask(
            "POST",
            "/events",
            key=key,
            prefer="wait=10",
            headers={"Content-Type": "application/json"},
            content=body,
        )
        for body in (
            b'{"name":"A","starts_at":"2031-01-01T12:00:00Z","ends_at":"2031-01-01T14:00:00Z"}',
            b'{"ends_at": "2031-01-01T15:00:00+01:00", "name": "\\u0041",'
            b' "starts_at": "2031-01-01T12:00:00.000+00:00"}',
        )
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].content == answers[1].content


async def read(person: Person, answer: httpx.Response, reads: str) -> Document:
    """Read the outcome of what was answered 202, at the place that the answer names."""
    assert answer.status_code == 202
    place = answer.headers["location"].removeprefix("/v1")
    if reads == "stream":
        async with asyncio.timeout(20):
            event = (await person.get(f"{place}/events")).text
        outcome: Document = json.loads(event.partition("data: ")[2])
        return outcome
    return await eventually(
        lambda: person.poll(
            place.removeprefix("/commands/"), prefer="wait=20" if reads == "long poll" else None
        ),
        lambda outcome: outcome["status"] != "pending",
        within_seconds=20,
    )


@pytest.mark.parametrize("of_another", ["user", "payload"])
@pytest.mark.parametrize("reads", ["poll", "long poll", "stream"])
async def test_a_reused_key_that_was_answered_202_reads_command_id_reused(
    alice: Person, bob: Person, ticket_type_id: str, of_another: str, reads: str
) -> None:
    key = new_id()
    assert (await alice.reserve(ticket_type_id, key=key)).status_code == 200
    person, quantity = (bob, 1) if of_another == "user" else (alice, 2)

    second = await person.reserve(ticket_type_id, quantity, key=key, prefer="respond-async")
    told = await read(person, second, reads)

    assert (told["command_id"], told["status"]) == (key, "refused")
    assert told["refusal"]["code"] == "command_id_reused"
    assert (await alice.outcome(key))["status"] == "succeeded"


@pytest.mark.parametrize("of_another", ["user", "payload"])
async def test_of_two_commands_under_one_key_at_once_one_is_told_that_it_reused_it(
    alice: Person, bob: Person, ticket_type_id: str, of_another: str
) -> None:
    key = new_id()
    person, quantity = (bob, 1) if of_another == "user" else (alice, 2)
    first, second = await asyncio.gather(
        alice.reserve(ticket_type_id, key=key, prefer="respond-async", via=0),
        person.reserve(ticket_type_id, quantity, key=key, prefer="respond-async", via=1),
    )
    told = [await read(alice, first, "long poll"), await read(person, second, "long poll")]

    (refused_one,) = [outcome for outcome in told if outcome["status"] == "refused"]
    assert refused_one["refusal"]["code"] == "command_id_reused"
    assert [outcome["status"] for outcome in told].count("succeeded") == 1


async def test_a_place_with_a_malformed_fingerprint_is_invalid(alice: Person) -> None:
    for suffix in (".", ".0", "." + "g" * 32, "." + "0" * 33, "." + "0" * 32 + ".0"):
        answer = await alice.get(f"/commands/{new_id()}{suffix}")
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_command_id")
