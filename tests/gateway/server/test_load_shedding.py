"""The middleware that refuses requests: what a client gets, and when."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway.http.problems import MEDIA_TYPE, ProblemError
from gateway.server import load_shedding
from gateway.server.load_shedding import LoadSheddingMiddleware
from gateway.server.overload import Overload
from gateway.telemetry import Metrics
from tests.gateway.overloads import an_overload, make_busy


@dataclass
class Guarded:
    """An app that waits until it may answer, behind the middleware."""

    overload: Overload
    metrics: Metrics
    reached: list[str] = field(default_factory=list)
    may_answer: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._middleware = LoadSheddingMiddleware(
            self._app, self.overload, lambda scope: str(scope["client"][0])
        )

    async def ask(self, path: str = "/v1/cart", kind: str = "http", client: str = "a") -> Any:
        """Return status, headers and body; None where the app answered."""
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        async def receive() -> Any:
            raise AssertionError("the body of a refused request is not read")

        scope = {"type": kind, "method": "GET", "path": path, "client": (client, 1)}
        await self._middleware(scope, receive, send)
        if not sent:
            return None
        return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope.get("path"))
        await self.may_answer.wait()


@pytest.fixture
def guarded() -> Guarded:
    metrics = Metrics()
    return Guarded(an_overload(metrics=metrics), metrics)


async def test_a_refusal_is_a_problem_that_says_when_to_retry(guarded: Guarded):
    make_busy(guarded.overload)
    answers = [await guarded.ask() for _ in range(10)]
    for status, headers, body in answers:
        assert status == 503
        assert headers[b"content-type"] == MEDIA_TYPE.encode()
        assert headers[b"content-length"] == b"%d" % len(body)
        assert body == ProblemError("overloaded").response().body
    waits = {headers[b"retry-after"] for _, headers, _ in answers}
    assert waits == {b"1", b"2", b"3", b"4", b"5"}
    assert guarded.reached == []
    assert guarded.metrics.shed._value.get() == 10


async def test_requests_that_are_not_shed_reach_the_app(guarded: Guarded):
    make_busy(guarded.overload)
    guarded.may_answer.set()
    for path in ("/v1/commands/x", "/health/live"):
        assert await guarded.ask(path) is None
    assert await guarded.ask(kind="lifespan") is None
    assert guarded.reached == ["/v1/commands/x", "/health/live", "/v1/cart"]


async def test_requests_are_counted_while_they_are_in_progress(guarded: Guarded):
    asking = [asyncio.create_task(guarded.ask()) for _ in range(3)]
    await asyncio.sleep(0)
    assert guarded.overload.in_progress == 3
    asking.pop().cancel()
    await asyncio.sleep(0)
    assert guarded.overload.in_progress == 2
    guarded.may_answer.set()
    await asyncio.gather(*asking)
    assert guarded.overload.in_progress == 0


async def test_clients_that_retry_at_once_wait_for_their_turn(
    guarded: Guarded,
):
    guarded.overload.refusals_per_second = 10
    make_busy(guarded.overload)
    await guarded.ask()
    started = time.monotonic()

    async def refused_after() -> float:
        assert (await guarded.ask())[0] == 503
        return time.monotonic() - started

    after = await asyncio.gather(*(refused_after() for _ in range(3)))
    assert after == sorted(after)
    assert after[0] < 0.2 < after[2] < load_shedding.MAX_PAUSE_SECONDS


async def test_only_clients_that_retry_too_early_wait(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
):
    guarded.overload.refusals_per_second = 0.1
    monkeypatch.setattr(load_shedding, "MAX_PAUSE_SECONDS", 0.2)
    make_busy(guarded.overload)
    retry_after = int((await guarded.ask(client="patient"))[1][b"retry-after"])
    assert retry_after == 1
    await guarded.ask(client="impatient")
    started = time.monotonic()
    for number in range(10):
        await guarded.ask(client=f"new {number}")
    assert time.monotonic() - started < 0.1
    await guarded.ask(client="impatient")
    assert time.monotonic() - started >= 0.2
    await asyncio.sleep(retry_after)
    started = time.monotonic()
    await guarded.ask(client="patient")
    assert time.monotonic() - started < 0.1


async def test_no_refusal_waits_longer_than_its_bound(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch
):
    guarded.overload.refusals_per_second = 0.01
    monkeypatch.setattr(load_shedding, "MAX_PAUSE_SECONDS", 0.1)
    make_busy(guarded.overload)
    async with asyncio.timeout(0.5):
        for _ in range(3):
            await guarded.ask()


async def test_a_few_refusals_do_not_wait(guarded: Guarded, monkeypatch: pytest.MonkeyPatch):
    async def sleep(seconds: float) -> None:
        raise AssertionError(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    make_busy(guarded.overload)
    for _ in range(20):
        await guarded.ask()
