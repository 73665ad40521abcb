"""Shedding load: what is told to come again, before and after it was read."""

import asyncio
import time
from typing import Any

import pytest

from gateway.http.problems import MEDIA_TYPE, ProblemError
from gateway.messaging.submission import Submission
from gateway.messaging.submit import MAX_IN_FLIGHT_COMMANDS
from gateway.server import load_shedding
from gateway.server.fast_path import FastPath
from gateway.server.load_shedding import LoadShedder, SheddingProtocol, is_shed, may_be_shed
from gateway.telemetry import Metrics
from shared.commands import ReleaseCart
from shared.ids import new_id
from tests.builders import NOW
from tests.gateway.shedders import a_shedder
from tests.gateway.wire import Wire

BODY = b'{"quantity":1}'
COMMAND = b"PUT /v1/cart/items/x HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n\r\n" + BODY
READ = b"GET /v1/events/x HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n"

SHED = {
    "a command": COMMAND,
    "without a body": b"DELETE /v1/cart HTTP/1.1\r\nHost: x\r\n\r\n",
    "a read": READ,
    "an empty body": b"POST /v1/events/x/end HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
    "kept alive": READ.replace(b"Accept: */*", b"Connection: keep-alive"),
    "a log-in": b"POST /v1/tokens HTTP/1.1\r\nHost: x\r\nContent-Length:14\r\n\r\n" + BODY,
}
READ_FIRST = {
    "the outcome of a command": b"GET /v1/commands/x HTTP/1.1\r\nHost: x\r\n\r\n",
    "health": b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n",
    "metrics": b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a head": COMMAND[:40],
    "half a body": COMMAND[:-1],
    "no body yet": COMMAND[: -len(BODY)],
    "two requests": COMMAND + READ,
    "a part of the next": READ + COMMAND[:10],
    "a second piece": BODY,
    "in chunks": b"POST /v1/events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n",
    "asks to continue": COMMAND.replace(b"Host: x", b"Expect: 100-continue"),
    "upgrades": READ.replace(b"Host: x", b"Upgrade: websocket"),
    "wants to be closed": READ.replace(b"Host: x", b"Connection: close"),
    "two lengths": COMMAND.replace(b"Host: x", b"Content-Length: 14"),
    "a length that is none": COMMAND.replace(b"14", b"+14"),
    "wants to be closed, without a space": READ.replace(b"Host: x", b"connection:close"),
    "kept alive, with more": READ.replace(b"Host: x", b"Connection: keep-alive, x"),
    "no body is wanted": READ.replace(b"GET", b"HEAD"),
    "HTTP/1.0": READ.replace(b"HTTP/1.1", b"HTTP/1.0"),
    "a space before a colon": COMMAND.replace(b"Host: x", b"Transfer-Encoding : chunked"),
    "a line that ends otherwise": READ.replace(b"Host: x", b"Host: x\nContent-Length: 50"),
    "a folded line": READ.replace(b"Host: x", b"X: x\r\n Content-Length: 50"),
    "another page": b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n",
    "no HTTP": b"\r\n\r\n",
}


@pytest.mark.parametrize("data", SHED.values(), ids=SHED.keys())
def test_one_whole_request_is_shed_unread(data: bytes):
    assert is_shed(data)


@pytest.mark.parametrize("data", READ_FIRST.values(), ids=READ_FIRST.keys())
def test_everything_else_is_read_first(data: bytes):
    assert not is_shed(data)


@pytest.mark.parametrize("name", SHED.keys())
def test_where_only_the_workers_are_behind_only_commands_are_shed(name: str):
    is_command = name not in ("a read", "kept alive", "a log-in")
    assert is_shed(SHED[name], commands_only=True) == is_command


@pytest.mark.parametrize(
    ("path", "may_be"),
    [
        ("/v1/cart", True),
        ("/v1/events", True),
        ("/v1/commands/x", False),
        ("/v1/commands/x/events", False),
        ("/health/live", False),
        ("/metrics", False),
    ],
)
def test_what_may_be_shed_when_it_was_read(path: str, may_be: bool):
    assert may_be_shed({"path": path}) == may_be


def a_wire(shedder: LoadShedder) -> Wire:
    return Wire(type("Shedding", (SheddingProtocol,), {"shedder": shedder}))


@pytest.fixture
def shedder() -> LoadShedder:
    return a_shedder()


@pytest.fixture
async def wire(shedder: LoadShedder):
    wire = a_wire(shedder)
    yield wire
    wire.protocol._unset_keepalive_if_required()


def fall_behind(shedder: LoadShedder, under_way: int = MAX_IN_FLIGHT_COMMANDS) -> None:
    """Let so many commands be under way."""
    unanswered = shedder._publisher._in_flight
    unanswered.forget()
    command = ReleaseCart(command_id=new_id(), user_id=new_id(), submitted_at=NOW)
    unanswered.add(new_id(), [Submission(command, awaited=False)] * under_way)


def overload(shedder: LoadShedder) -> None:
    shedder.lag_seconds = load_shedding.MAX_LAG_SECONDS * 2
    shedder._in_progress = range(load_shedding.MAX_IN_PROGRESS)


async def test_the_answer_is_a_problem_that_says_when_to_come_again(shedder, wire: Wire):
    overload(shedder)
    answers = [await wire.say(COMMAND) for _ in range(10)]
    for answer in answers:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"content-length: %d\r\n" % len(body) in head + b"\r\n"
        assert f"content-type: {MEDIA_TYPE}".encode() in head
        assert body == ProblemError("overloaded").response().body
    waits = {answer.partition(b"retry-after: ")[2].partition(b"\r\n")[0] for answer in answers}
    assert waits == {b"1", b"2", b"3", b"4", b"5"}
    assert wire.reached_the_app == []
    assert shedder.shed._value.get() == 10


async def test_the_connection_is_kept_and_serves_again(shedder: LoadShedder, wire: Wire):
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 200")
    overload(shedder)
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 503")
    assert (await wire.say(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")).startswith(
        b"HTTP/1.1 200"
    )
    shedder.lag_seconds = 0.0
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 200")
    assert wire.reached_the_app == ["/v1/cart/items/x", "/health/live", "/v1/cart/items/x"]


async def test_a_request_is_never_answered_in_the_middle_of_another(shedder, wire: Wire):
    length = b"Content-Length: %d" % len(READ + COMMAND)
    assert (await wire.say(COMMAND[: -len(BODY)].replace(b"Content-Length: 14", length))) == b""
    overload(shedder)
    # What looks like a request is the body of the one before.
    assert await wire.say(READ) == b""
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 200")
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 503")
    assert wire.reached_the_app == ["/v1/cart/items/x"]


async def test_a_request_is_never_answered_in_the_middle_of_a_head(shedder, wire: Wire):
    assert await wire.say(b"PUT /v1/cart/items/x HTTP/1.1\r\nX-Text: ") == b""
    overload(shedder)
    # What looks like a request is the value of a header, and what ends its head is that one's end.
    assert (await wire.say(READ)).startswith(b"HTTP/1.1 200")
    assert wire.reached_the_app == ["/v1/cart/items/x"]


@pytest.mark.parametrize(("lag", "busy"), [(2, 0.5), (0.5, 2)])
async def test_a_lag_or_much_to_wait_for_is_not_enough(shedder, wire, lag: float, busy: float):
    shedder.lag_seconds = load_shedding.MAX_LAG_SECONDS * lag
    shedder._in_progress = range(int(load_shedding.MAX_IN_PROGRESS * busy))
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 200")


async def test_the_lag_is_that_of_the_loop(shedder: LoadShedder):
    shedder.start([])
    await asyncio.sleep(0.1)
    calm = shedder.lag_seconds
    time.sleep(0.2)  # noqa: ASYNC251 - the loop is to lag
    for _ in range(3):
        await asyncio.sleep(0)
    assert calm < 0.1 < shedder.lag_seconds
    await asyncio.sleep(0.1)
    assert shedder.lag_seconds < 0.1
    shedder.stop()


async def test_a_thread_that_computes_all_the_time_is_busy(
    shedder: LoadShedder, monkeypatch: pytest.MonkeyPatch
):
    """The thread's clock is told to go: how fast it does depends on who else computes here."""
    monkeypatch.setattr(time, "thread_time", time.monotonic)
    shedder.start(range(load_shedding.MAX_IN_PROGRESS))
    async with asyncio.timeout(10):
        while shedder.busy_share <= load_shedding.MAX_BUSY_SHARE:
            await asyncio.sleep(0.02)
    shedder.lag_seconds = 0.0
    assert shedder.overloaded

    monkeypatch.setattr(time, "thread_time", lambda: 0.0)
    async with asyncio.timeout(10):
        while shedder.busy_share >= load_shedding.MAX_BUSY_SHARE / 2:
            await asyncio.sleep(0.02)
    shedder.stop()


async def test_a_thread_that_waits_is_not_busy(shedder: LoadShedder):
    shedder.start(range(load_shedding.MAX_IN_PROGRESS))
    await asyncio.sleep(0.5)
    assert shedder.busy_share < 0.5
    shedder.stop()


async def test_what_came_in_pieces_is_shed_when_it_was_read(shedder: LoadShedder):
    reached = []

    class App:
        routes = ()

        async def __call__(self, scope, receive, send) -> None:
            reached.append(scope["path"])

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    way = FastPath(App(), Metrics().request_times, shedder)
    overload(shedder)
    for path in ("/v1/cart", "/v1/commands/x", "/health/live"):
        await way({"type": "http", "method": "GET", "path": path}, None, send)
    await way({"type": "lifespan", "path": ""}, None, send)
    assert reached == ["/v1/commands/x", "/health/live", ""]
    assert sent[0]["status"] == 503
    assert b"retry-after" in dict(sent[0]["headers"])


async def test_where_the_workers_are_behind_commands_are_shed_and_reads_are_served(
    shedder: LoadShedder, wire: Wire
):
    fall_behind(shedder)
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 503")
    assert (await wire.say(READ)).startswith(b"HTTP/1.1 200")
    assert (await wire.say(SHED["a log-in"])).startswith(b"HTTP/1.1 200")
    fall_behind(shedder, MAX_IN_FLIGHT_COMMANDS - 1)
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 200")
    assert shedder.shed._value.get() == 1


async def test_requests_that_have_begun_take_up_room(shedder: LoadShedder, wire: Wire):
    """Else a thousand that come in one turn of the loop would all find the last place free."""
    fall_behind(shedder, MAX_IN_FLIGHT_COMMANDS - 10)
    shedder._in_progress = range(11)
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 503")
    # Not twice, in line or unanswered, and begun.
    shedder._publisher.submitting = 5
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 200")
    shedder._publisher.submitting = 0
    # Who only waits for an outcome hands in nothing.
    shedder._outcome_poller.idle = 5
    assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 200")


async def test_who_only_waits_makes_nobody_busy(shedder: LoadShedder):
    overload(shedder)
    assert shedder.overloaded
    shedder._outcome_poller.idle = 1
    assert not shedder.overloaded


@pytest.mark.parametrize(("under_way", "is_slow"), [(0, True), (MAX_IN_FLIGHT_COMMANDS, False)])
async def test_it_is_slow_where_the_workers_are_not(
    shedder: LoadShedder, monkeypatch: pytest.MonkeyPatch, under_way: int, is_slow: bool
):
    monkeypatch.setattr(load_shedding, "LONG_SECONDS", 0.1)
    monkeypatch.setattr(load_shedding, "MAX_LAG_SECONDS", -1)
    fall_behind(shedder, under_way)
    shedder.start(range(load_shedding.MAX_IN_PROGRESS))
    await asyncio.sleep(0.5)
    assert (shedder.slow_share > load_shedding.MAX_SLOW_SHARE) == is_slow
    shedder.stop()


async def test_a_process_that_is_slow_makes_those_who_come_again_wait_longer(
    shedder: LoadShedder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load_shedding, "MAX_SHED_PER_SECOND", 10)
    monkeypatch.setattr(load_shedding, "MAX_SHED_PER_SLOW_SECOND", 2)
    overload(shedder)
    until = []
    for shedder.slow_share in (0.0, 1.0):
        wire = a_wire(shedder)
        await wire.say(COMMAND)
        until.append(shedder._paused[-1][0] - time.monotonic())
        wire.protocol._unset_keepalive_if_required()
    assert until[0] < 0.2 < until[1]


async def test_who_comes_again_too_soon_is_left_unread_for_a_while(
    shedder: LoadShedder, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(load_shedding, "MAX_SHED_PER_SECOND", 10)
    wires = [a_wire(shedder) for _ in range(3)]
    for wire in wires:
        overload(shedder)
        assert (await wire.say(COMMAND)).startswith(b"HTTP/1.1 503")
    # The first refusals of all come at once; only then some are made to wait.
    assert [wire.protocol.flow.read_paused for wire in wires] == [True] * 3
    shedder.start([])
    read_after = []
    started = time.monotonic()
    for wire in wires:
        while wire.protocol.flow.read_paused:
            await asyncio.sleep(0.005)
        read_after.append(time.monotonic() - started)
    assert read_after == sorted(read_after)
    assert read_after[0] < 0.2 < read_after[2] < load_shedding.MAX_PAUSE_SECONDS
    shedder.stop()
    for wire in wires:
        wire.protocol._unset_keepalive_if_required()


async def test_nobody_waits_longer_than_a_second(shedder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(load_shedding, "MAX_SHED_PER_SECOND", 0.01)
    wire = a_wire(shedder)
    overload(shedder)
    await wire.say(COMMAND)
    ((until, _),) = shedder._paused
    assert until <= time.monotonic() + load_shedding.MAX_PAUSE_SECONDS
    wire.protocol._unset_keepalive_if_required()


async def test_few_refusals_make_nobody_wait(shedder: LoadShedder, wire: Wire):
    overload(shedder)
    for _ in range(20):
        await wire.say(COMMAND)
    assert not wire.protocol.flow.read_paused
