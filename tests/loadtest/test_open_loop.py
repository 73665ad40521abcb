"""A server that stalls shows in the latencies, and does not slow the arrivals."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from loadtest.fixtures import Account, Fixtures
from loadtest.http.load_generator import HttpLoad
from loadtest.options import HttpOptions
from loadtest.progress import Progress
from loadtest.runner import run
from loadtest.workload import Workload

STALL_SECONDS = 1.0
SECONDS = 2.0
RATE = 50.0
STAGE = Fixtures(Account("organizer", ""), "event", ["type"], [Account("buyer", "")])
PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"


@asynccontextmanager
async def a_server(answers: list[bytes], stall_seconds: float = 0.0) -> AsyncIterator[str]:
    """Give these answers and then pages, each connection's first one after a stall."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stall = stall_seconds
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            await asyncio.sleep(stall)
            stall = 0.0
            writer.write(answers.pop(0) if answers else PAGE)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


async def look(url: str, rate_per_second: float | None) -> HttpLoad:
    """Let one reader look at the page; return the load when it is over."""
    options = HttpOptions(
        Workload(buyers=1), (url,), reads=True, rate_per_second=rate_per_second, seconds=SECONDS
    )
    load = HttpLoad(options, STAGE, ["a token"])
    await load.connect(Progress(quiet=True))
    try:
        await run(load, SECONDS, Progress(quiet=True))
    finally:
        load.close()
    return load


async def test_latency_is_counted_from_when_a_request_was_due() -> None:
    async with a_server([], STALL_SECONDS) as url:
        load = await look(url, RATE)
    assert load.counters.asked == pytest.approx(SECONDS * RATE, abs=2)
    assert load.counters.unanswered == 0
    # All requests due during the stall waited, half a second on average, and not just the first.
    kept_waiting = STALL_SECONDS * RATE / load.counters.asked * 100
    assert (load.timeline.latency.percentile(100 - kept_waiting / 2) or 0) > STALL_SECONDS * 0.4
    assert max(second.backlog for second in load.timeline.seconds) >= STALL_SECONDS * RATE * 0.8


async def test_a_closed_loop_waits_with_the_server() -> None:
    async with a_server([], STALL_SECONDS) as url:
        load = await look(url, None)
    assert (load.timeline.latency.percentile(90) or 1) < STALL_SECONDS * 0.4
    assert load.timeline.latency.max_seconds >= STALL_SECONDS * 0.9


async def test_a_client_with_a_retry_after_retries() -> None:
    async with a_server([UNAVAILABLE]) as url:
        load = await look(url, 5)
    assert load.counters.tries_again == 1
    assert load.counters.unanswered == 0
    assert load.timeline.latency.max_seconds > 1.0


async def test_requests_due_while_the_server_stalls_are_sent_after_the_end() -> None:
    async with a_server([], SECONDS + 0.5) as url:
        load = await look(url, RATE)
    assert load.counters.asked == pytest.approx(SECONDS * RATE, abs=2)
    assert (load.counters.unanswered, load.counters.not_sent) == (0, 0)
