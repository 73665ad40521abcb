"""A read that came before is answered unparsed, and like any other in everything else."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.responses import Response

from gateway.http.json_response import JsonResponse
from gateway.server import load_shedding, repeated_reads
from gateway.server.load_shedding import LoadShedder
from gateway.server.repeated_reads import RepeatedReads, recognising
from gateway.telemetry import Metrics
from shared.ids import new_id
from tests.gateway.shedders import a_shedder
from tests.gateway.wire import Wire

PATH = f"/v1/events/{new_id()}".encode()
READ = b"GET " + PATH + b" HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"
COMMAND = b"DELETE /v1/cart HTTP/1.1\r\nHost: x\r\n\r\n"

NEVER_KNOWN = {
    "another path": READ.replace(PATH, PATH + b"/x"),
    "a list": READ.replace(PATH, b"/v1/events"),
    "an ID that is not canonical": READ.replace(
        PATH, PATH.upper().replace(b"/V1/EVENTS", b"/v1/events")
    ),
    "a query": READ.replace(PATH, PATH + b"?fresh"),
    "another method": READ.replace(b"GET", b"HEAD"),
    "with a body": READ.replace(b"Accept: */*", b"Content-Length: 2") + b"{}",
    "half a body": READ.replace(b"Accept: */*", b"Content-Length: 2"),
    "in chunks": READ.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
    "wants to be closed": READ.replace(b"Accept: */*", b"Connection: close"),
    "HTTP/1.0": READ.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "too long": READ.replace(b"*/*", b"x" * repeated_reads.MAX_REQUEST_BYTES),
    "two": READ + READ,
    "a part of the next": READ + b"GET",
}


class Pages:
    """Reads pages when a test says so."""

    def __init__(self) -> None:
        self.asked_for: list[str] = []
        self.waiting: list[asyncio.Future[Response]] = []

    def read(self, event_id: str) -> asyncio.Future[Response]:
        page: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.asked_for.append(event_id)
        self.waiting.append(page)
        return page

    def give(self, page: bytes) -> None:
        self.waiting.pop(0).set_result(JsonResponse(page))


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def shedder(metrics: Metrics) -> LoadShedder:
    return a_shedder(metrics)


@pytest.fixture
def pages() -> Pages:
    return Pages()


@pytest.fixture
async def wire(pages: Pages, shedder: LoadShedder, metrics: Metrics) -> AsyncIterator[Wire]:
    """A connection on which the read has come once."""
    wire = Wire(recognising(RepeatedReads(pages.read, metrics.request_times), shedder))
    assert (await wire.say(READ)).startswith(b"HTTP/1.1 200 OK\r\n")
    yield wire
    wire.protocol._unset_keepalive_if_required()


async def test_the_second_time_the_app_is_not_asked(wire: Wire, pages: Pages, metrics: Metrics):
    wire.state.default_headers = [(b"date", b"today")]
    assert await wire.say(READ) == b""
    pages.give(b'{"available":1}')
    assert await wire.heard() == (
        b"HTTP/1.1 200 OK\r\ndate: today\r\ncontent-length: 15\r\n"
        b'content-type: application/json\r\n\r\n{"available":1}'
    )
    assert wire.reached_the_app == [PATH.decode()]
    assert pages.asked_for == [PATH.decode().rpartition("/")[2]]
    assert b'_count{method="GET",route="/v1/events/{event_id}",status="200"} 1.0' in (
        metrics.exposition()
    )


async def test_each_time_the_page_is_read_anew(wire: Wire, pages: Pages):
    for page in (b"1", b"2", b"3"):
        await wire.say(READ)
        pages.give(page)
        assert (await wire.heard()).endswith(b"\r\n\r\n" + page)


async def test_on_another_connection_too(wire: Wire, pages: Pages):
    other = Wire(type(wire.protocol))
    await other.say(READ)
    pages.give(b"1")
    assert (await other.heard()).endswith(b"1")
    assert other.reached_the_app == []
    other.protocol._unset_keepalive_if_required()


@pytest.mark.parametrize("request_", NEVER_KNOWN.values(), ids=NEVER_KNOWN.keys())
async def test_what_is_not_one_plain_read_goes_to_the_app(wire: Wire, pages: Pages, request_):
    for _ in range(2):
        other = Wire(type(wire.protocol))
        await other.say(request_)
        await other.heard()
        other.protocol._unset_keepalive_if_required()
    assert pages.asked_for == []


async def test_half_a_read_is_no_read(wire: Wire, pages: Pages):
    assert await wire.say(READ[:30]) == b""
    assert (await wire.say(READ[30:])).startswith(b"HTTP/1.1 200")
    assert pages.asked_for == []


async def test_in_the_middle_of_a_head_it_is_no_read(wire: Wire, pages: Pages):
    assert await wire.say(b"GET /v1/events HTTP/1.1\r\nX-Text: ") == b""
    assert (await wire.say(READ)).count(b"HTTP/1.1 200") == 1
    assert wire.reached_the_app[1:] == ["/v1/events"]
    assert pages.asked_for == []


async def test_in_the_middle_of_a_body_it_is_no_read(wire: Wire, pages: Pages):
    head = b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(READ)
    assert await wire.say(head) == b""
    assert (await wire.say(READ)).count(b"HTTP/1.1 200") == 1
    assert wire.reached_the_app[1:] == ["/v1/events"]
    assert pages.asked_for == []


async def test_what_comes_behind_it_waits_its_turn(wire: Wire, pages: Pages):
    assert await wire.say(READ) == b""
    assert await wire.say(COMMAND + READ[:10]) == b""
    assert await wire.say(READ[10:]) == b""
    pages.give(b"1")
    first, second, third = (await wire.heard()).split(b"HTTP/1.1 200 OK")[1:]
    assert first.endswith(b"\r\n\r\n1")
    assert second.endswith(b"content-length: 0\r\n\r\n")
    assert third.endswith(b"content-length: 0\r\n\r\n")
    assert wire.reached_the_app[1:] == ["/v1/cart", PATH.decode()]


async def test_too_much_behind_it_is_left_unread(
    wire: Wire, pages: Pages, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(repeated_reads, "MAX_HELD_BACK_BYTES", 2 * len(COMMAND))
    await wire.say(READ)
    for _ in range(3):
        assert not wire.protocol.flow.read_paused
        await wire.say(COMMAND)
    assert wire.protocol.flow.read_paused
    pages.give(b"1")
    assert (await wire.heard()).count(b"HTTP/1.1 200") == 4
    assert not wire.protocol.flow.read_paused


async def test_a_problem_is_told_by_the_app(wire: Wire, pages: Pages):
    await wire.say(READ)
    pages.waiting.pop().set_exception(OSError())
    assert (await wire.heard()).startswith(b"HTTP/1.1 200")
    assert wire.reached_the_app == [PATH.decode()] * 2


async def test_who_has_left_is_not_answered(wire: Wire, pages: Pages):
    await wire.say(READ)
    wire.closed = True
    wire.protocol.connection_lost(None)
    pages.give(b"1")
    assert await wire.heard() == b""


async def test_told_to_stop_it_answers_first_and_closes_then(wire: Wire, pages: Pages):
    await wire.say(READ)
    wire.protocol.shutdown()
    assert not wire.closed
    pages.give(b"1")
    assert b"connection: close\r\n" in await wire.heard()
    assert wire.closed


async def test_idle_it_closes_at_once(wire: Wire, pages: Pages):
    await wire.say(READ)
    pages.give(b"1")
    await wire.heard()
    wire.protocol.shutdown()
    assert wire.closed


async def test_overloaded_it_sheds_reads_too(wire: Wire, pages: Pages, shedder: LoadShedder):
    shedder.lag_seconds = load_shedding.MAX_LAG_SECONDS * 2
    shedder._in_progress = range(load_shedding.MAX_IN_PROGRESS)
    assert (await wire.say(READ)).startswith(b"HTTP/1.1 503")
    assert pages.asked_for == []


async def test_what_was_shed_is_not_learned_as_the_read_before_it(
    wire: Wire, pages: Pages, shedder: LoadShedder
):
    """It was not parsed: the last request that was is another one."""
    unknown = READ.replace(b"*/*", b"text/html")
    assert (await wire.say(unknown)).startswith(b"HTTP/1.1 200")
    others = [b"GET /v1/cart HTTP/1.1\r\nHost: x\r\n\r\n", READ.replace(PATH, PATH[:-1])]
    shedder.lag_seconds = load_shedding.MAX_LAG_SECONDS * 2
    shedder._in_progress = range(load_shedding.MAX_IN_PROGRESS)
    for other in others:
        assert (await wire.say(other)).startswith(b"HTTP/1.1 503")
    shedder.lag_seconds = 0.0
    for other in others:
        assert (await wire.say(other)).startswith(b"HTTP/1.1 200")
    assert pages.asked_for == []


async def test_who_reads_no_answers_gets_no_more_at_once(wire: Wire, pages: Pages):
    """uvicorn waits until what was sent has been read, and so reads no more requests."""
    wire.protocol.flow.pause_writing()
    for _ in range(3):
        await wire.say(READ)
    assert pages.asked_for == []
    assert wire.protocol.flow.read_paused
    wire.protocol.flow.resume_writing()
    assert (await wire.heard()).count(b"HTTP/1.1 200") >= 1


async def test_what_is_known_is_bounded(wire: Wire, pages: Pages, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(repeated_reads, "MAX_KNOWN", 2)
    for client in (b"a", b"b"):
        await wire.say(READ.replace(b"*/*", client))
    assert (await wire.say(READ)).startswith(b"HTTP/1.1 200")
    assert await wire.say(READ.replace(b"*/*", b"b")) == b""
    pages.give(b"1")
    await wire.heard()
