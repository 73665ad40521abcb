"""Time limits of the gateway; all tests wait at the same time, to wait only once."""

import asyncio
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx
import pytest

from shared.ids import new_id
from tests.system.clients import Person
from tests.system.pauses import workers_paused
from tests.system.test_commands import stream

EVENT = {"name": "A match", "starts_at": "2031-05-01T20:00:00Z", "ends_at": "2031-05-01T22:00:00Z"}


@dataclass
class Waited:
    """The lines that arrived, and after how many seconds."""

    answer: httpx.Response
    answer_seconds: float
    comments: list[str]
    status_line: bytes
    status_line_seconds: float


@pytest.fixture(scope="module")
async def waited(organizer: Person) -> Waited:
    async with workers_paused(organizer.deployment):
        started = time.monotonic()

        async def awaited_by_default() -> tuple[httpx.Response, float]:
            answer = await organizer.ask("POST", "/events", json=EVENT)
            return answer, time.monotonic() - started

        async def comments_of_a_stream() -> list[str]:
            async with stream(organizer, new_id()) as response, asyncio.timeout(25):
                lines = response.aiter_lines()
                return [await anext(lines) for _ in range(3)]

        async def body_that_never_ends() -> tuple[bytes, float]:
            status_line = await begin_a_body(organizer)
            return status_line, time.monotonic() - started

        answered, comments, given_up = await asyncio.gather(
            awaited_by_default(), comments_of_a_stream(), body_that_never_ends()
        )
    return Waited(*answered, comments, *given_up)


async def test_a_command_awaited_by_default_is_awaited_for_10_seconds(
    waited: Waited, organizer: Person
) -> None:
    assert 9.5 < waited.answer_seconds < 13
    assert waited.answer.status_code == 202
    assert "preference-applied" not in waited.answer.headers
    outcome = await organizer.outcome(waited.answer.json()["command_id"])
    assert outcome["status"] == "succeeded"


async def test_a_stream_is_kept_alive_by_comments(waited: Waited) -> None:
    first, separator, second = waited.comments
    assert first.startswith(":")
    assert separator == ""
    assert second.startswith(":")


async def test_a_body_that_never_ends_times_out_within_10_seconds(waited: Waited) -> None:
    assert b" 408 " in waited.status_line
    assert waited.status_line_seconds < 10


async def begin_a_body(person: Person) -> bytes:
    """Send one byte of a body and no more; return the first line of the answer."""
    address = urlsplit(person.deployment.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = (
        f"PUT /v1/cart/items/{new_id()} HTTP/1.1\r\nHost: {address.netloc}\r\n"
        f"Authorization: Bearer {person.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 15\r\n\r\n"
    )
    writer.write(head.encode() + b"{")
    try:
        async with asyncio.timeout(25):
            return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()
