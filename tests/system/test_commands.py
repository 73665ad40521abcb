"""Commands: reading an outcome by poll, long poll and stream."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from shared.ids import id_at, new_id
from tests.system.amqp import Document
from tests.system.clients import Person, refused, succeeded
from tests.system.pauses import workers_paused

WINDOW_MS = 86_400_000


@asynccontextmanager
async def stream(
    person: Person, command_id: str, via: int = 0, last_event_id: str | None = None
) -> AsyncIterator[httpx.Response]:
    url = f"{person.deployment.gateways[via].url}/v1/commands/{command_id}/events"
    headers = {"Authorization": f"Bearer {person.token}"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = last_event_id
    async with person.http.stream("GET", url, headers=headers) as response:
        yield response


async def read_stream(response: httpx.Response) -> tuple[list[str], Document]:
    """The comments of a stream, and the outcome that ends it."""
    async with asyncio.timeout(20):
        lines = [line async for line in response.aiter_lines() if line]
    *comments, event, event_id, data = lines
    assert event == "event: outcome"
    assert data.startswith("data: ")
    assert all(line.startswith(":") for line in comments)
    outcome: Document = json.loads(data.removeprefix("data: "))
    assert event_id == f"id: {outcome['command_id']}"
    return comments, outcome


async def test_a_poll_returns_the_same_document_as_the_answer(
    alice: Person, ticket_type_id: str
) -> None:
    answer = await alice.reserve(ticket_type_id)
    for via in (0, 1):
        assert await alice.poll(answer.json()["command_id"], via=via) == answer.json()


async def test_a_refused_command_is_read_with_200_and_its_refusal(alice: Person) -> None:
    absent = new_id()
    problem = await alice.reserve(absent)
    command_id = refused(problem, 404, "ticket_type_not_found")["command_id"]
    outcome = await alice.poll(command_id)
    assert outcome["status"] == "refused"
    assert outcome["result"] is None
    assert outcome["refusal"] == {
        "code": "ticket_type_not_found",
        "detail": problem.json()["detail"],
        "ticket_type_id": absent,
    }


async def test_an_undecided_command_reads_pending_until_it_is_decided(
    alice: Person, ticket_type_id: str
) -> None:
    async with workers_paused(alice.deployment):
        command_id = (await alice.reserve(ticket_type_id, prefer=None)).json()["command_id"]
        for via in (0, 1):
            pending = await alice.poll(command_id, via=via)
            assert pending["command_id"] == command_id
            assert pending["status"] == "pending"
            assert pending["result"] is pending["refusal"] is pending["decided_at"] is None
    outcome = await alice.outcome(command_id)
    assert set(outcome) == set(pending)


async def test_a_long_poll_is_answered_when_the_command_is_decided(
    alice: Person, ticket_type_id: str
) -> None:
    async with workers_paused(alice.deployment):
        command_id = (await alice.reserve(ticket_type_id, prefer=None)).json()["command_id"]
        started = time.monotonic()
        pending = await alice.poll(command_id, prefer="wait=1")
        assert pending["status"] == "pending"
        assert 0.9 < time.monotonic() - started < 3
        polls = [
            asyncio.create_task(alice.get(f"/commands/{command_id}", via=via, prefer="wait=20"))
            for via in (0, 1)
        ]
        done, _ = await asyncio.wait(polls, timeout=0.3)
        assert not done
    started = time.monotonic()
    answers = await asyncio.gather(*polls)
    assert time.monotonic() - started < 5
    for answer in answers:
        assert answer.json()["status"] == "succeeded"
        assert answer.headers["preference-applied"] == "wait=20"


async def test_another_user_sees_pending_and_never_the_outcome(
    alice: Person, bob: Person, ticket_type_id: str
) -> None:
    command_id = (await alice.reserve(ticket_type_id)).json()["command_id"]
    unknown = await bob.poll(new_id())
    for how in ({"via": 0}, {"via": 1}, {"prefer": "wait=1"}):
        seen = await bob.poll(command_id, **how)
        assert seen == unknown | {"command_id": command_id}
    async with stream(bob, command_id) as response:
        lines: list[str] = []

        async def read() -> None:
            async for line in response.aiter_lines():
                lines.append(line)  # noqa: PERF401 - seen before the stream ends

        reading = asyncio.create_task(read())
        done, _ = await asyncio.wait([reading], timeout=0.5)
        assert not done
        reading.cancel()
        await asyncio.wait([reading])
    assert lines
    assert all(line.startswith(":") for line in lines if line)
    assert (await alice.poll(command_id))["status"] == "succeeded"


async def test_an_unknown_command_is_pending_inside_the_window_and_not_found_before(
    alice: Person,
) -> None:
    now_ms = time.time_ns() // 1_000_000
    for command_id in (new_id(), id_at(now_ms - WINDOW_MS + 20_000)):
        assert (await alice.poll(command_id))["status"] == "pending"
    for path in ("", "/events"):
        old = id_at(now_ms - WINDOW_MS - 2_000)
        answer = await alice.get(f"/commands/{old}{path}")
        refused(answer, 404, "command_not_found")


@pytest.mark.parametrize("path", ["", "/events"])
async def test_an_invalid_command_id_is_refused(alice: Person, path: str) -> None:
    for text in ("seven", "4b0c2f1e-8f0e-4a57-9c1e-3a1c4be0a001"):
        refused(await alice.get(f"/commands/{text}{path}"), 422, "invalid_command_id")


async def test_a_stream_sends_comments_until_the_outcome(
    alice: Person, ticket_type_id: str
) -> None:
    async with workers_paused(alice.deployment):
        command_id = (await alice.reserve(ticket_type_id, prefer=None)).json()["command_id"]
        async with stream(alice, command_id) as response:
            assert response.status_code == 200
            assert response.headers["content-type"].startswith("text/event-stream")
            lines = response.aiter_lines()
            assert (await asyncio.wait_for(anext(lines), 5)).startswith(":")
    async with stream(alice, command_id, via=1) as response:
        _, outcome = await read_stream(response)
    assert outcome["status"] == "succeeded"
    assert outcome == await alice.poll(command_id)


async def test_a_stream_that_is_open_gets_the_outcome_when_it_is_decided(
    alice: Person, ticket_type_id: str
) -> None:
    async with workers_paused(alice.deployment):
        command_id = (await alice.reserve(ticket_type_id, prefer=None)).json()["command_id"]
        opened = asyncio.Event()

        async def follow() -> tuple[list[str], Document]:
            async with stream(alice, command_id) as response:
                opened.set()
                return await read_stream(response)

        following = asyncio.create_task(follow())
        await asyncio.wait_for(opened.wait(), 5)
    comments, outcome = await following
    assert comments
    assert outcome == await alice.poll(command_id)


async def test_the_stream_of_a_decided_command_sends_its_outcome_at_once(
    alice: Person, ticket_type_id: str
) -> None:
    answer = await alice.reserve(ticket_type_id)
    succeeded(answer)
    async with stream(alice, answer.json()["command_id"], via=1) as response:
        comments, outcome = await read_stream(response)
    assert comments == []
    assert outcome == answer.json()


async def test_proxies_and_caches_are_told_to_pass_a_stream_on_at_once(
    alice: Person, ticket_type_id: str
) -> None:
    answer = await alice.reserve(ticket_type_id)
    async with stream(alice, answer.json()["command_id"]) as response:
        assert response.headers["x-accel-buffering"] == "no"
        assert response.headers["cache-control"] == "no-store"


async def test_a_client_that_reconnects_with_the_id_of_the_outcome_is_answered_204(
    alice: Person, ticket_type_id: str
) -> None:
    command_id = (await alice.reserve(ticket_type_id)).json()["command_id"]
    for via in (0, 1):
        async with stream(alice, command_id, via=via, last_event_id=command_id) as response:
            assert response.status_code == 204
            assert await response.aread() == b""
    async with stream(alice, command_id, last_event_id=new_id()) as response:
        _, outcome = await read_stream(response)
    assert outcome["command_id"] == command_id


async def test_an_undecided_command_is_streamed_whatever_id_the_client_sends(
    alice: Person,
) -> None:
    command_id = new_id()
    async with stream(alice, command_id, last_event_id=command_id) as response:
        assert response.status_code == 200
        lines = response.aiter_lines()
        assert (await asyncio.wait_for(anext(lines), 5)).startswith(":")


async def test_a_command_is_decided_although_its_client_disconnects(
    alice: Person, ticket_type_id: str
) -> None:
    key = new_id()
    async with workers_paused(alice.deployment):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await alice.reserve(ticket_type_id, key=key, prefer="wait=20")
    assert (await alice.outcome(key))["status"] == "succeeded"
    assert await alice.holds() == {ticket_type_id: 1}
