"""The fast path: a hot route gives the same response with it as without it."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from gateway import app as gateway_app
from gateway.app import HOT_ENDPOINTS, create_app
from gateway.http.problems import ProblemError
from gateway.http.request_body import MAX_BODY_BYTES
from gateway.outcome_document import DecidedOutcome
from gateway.read_model.queries import EventPage
from gateway.server.fast_path import FastPath
from gateway.services import Services
from gateway.telemetry import Metrics
from shared.ids import id_at, new_id
from shared.outcomes import EMPTY_CART, User
from tests.builders import FAR_AHEAD, LONG_AGO, NOW
from tests.gateway.http.test_openapi import SETTINGS

ME, ID, KEY = new_id(), new_id(), new_id()
STALE = id_at(0)
JSON = {"content-type": "application/json"}
RESERVATION = f'{{"items":[{{"ticket_type_id":"{ID}","quantity":2}}]}}'.encode()
EVENT = b'{"name":"Concert","starts_at":"2099-06-01T19:00:00Z","ends_at":"2099-06-01T23:00:00Z"}'
REFUSAL = {"code": "item_not_in_cart", "detail": "No.", "ticket_type_id": ID}
PAGE = EventPage(ID, ME, "Concert", LONG_AGO, FAR_AHEAD, "active", "EUR", ME, [])


@dataclass
class Ask:
    """A request, and what stands behind the gateway while it is served."""

    line: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    decided: Any = None
    """What the publisher gives, or raises."""
    event: Any = None
    """What the read model gives for an event, or raises."""
    anonymous: bool = False


HOT = {
    "reserved": Ask(
        "POST /v1/reservations",
        {"prefer": "wait=5", **JSON},
        RESERVATION,
        decided=DecidedOutcome('{"status":"succeeded"}', KEY, NOW, None),
    ),
    "refused": Ask(
        f"DELETE /v1/cart/items/{ID}",
        {"prefer": "wait=5"},
        decided=DecidedOutcome("{}", KEY, NOW, REFUSAL),
    ),
    "no body": Ask("DELETE /v1/cart", decided=DecidedOutcome("{}", KEY, NOW, None)),
    "a name with spaces": Ask("PUT /v1/cart/items/a b", JSON, b'{"quantity":1}'),
    "no token": Ask("POST /v1/reservations", JSON, RESERVATION, anonymous=True),
    "a key that is none": Ask(
        "POST /v1/reservations", {"idempotency-key": "x", **JSON}, RESERVATION
    ),
    "a stale key": Ask("POST /v1/reservations", {"idempotency-key": STALE, **JSON}, RESERVATION),
    "no JSON": Ask("POST /v1/reservations", JSON, b"{"),
    "no reservation": Ask("POST /v1/reservations", JSON, b'{"items":[],"price":1}'),
    "too large": Ask("POST /v1/reservations", JSON, b" " * (MAX_BODY_BYTES + 1)),
    "another media type": Ask("POST /v1/reservations", {"content-type": "text/plain"}, RESERVATION),
    "a bug": Ask("POST /v1/reservations", JSON, RESERVATION, decided=ValueError("a bug")),
    "an event": Ask(f"GET /v1/events/{ID}", event=PAGE, anonymous=True),
    "no event": Ask(f"GET /v1/events/{ID}", anonymous=True),
    "an event without an ID": Ask("GET /v1/events/x", anonymous=True),
    "no database": Ask(f"GET /v1/events/{ID}", event=ProblemError("database_unavailable")),
    "a bug in a page": Ask(f"GET /v1/events/{ID}", event=ValueError("a bug")),
    "a pending command": Ask(f"GET /v1/commands/{KEY}"),
    "a command without an ID": Ask("GET /v1/commands/x"),
    "the cart": Ask("GET /v1/cart"),
    "its head": Ask("HEAD /v1/cart"),
}
OTHERS = {
    "created": Ask("POST /v1/events", JSON, EVENT, decided=DecidedOutcome("{}", KEY, NOW, None)),
    "live": Ask("GET /health/live"),
    "no such place": Ask("GET /v1/tickets"),
    "nothing behind the slash": Ask("GET /v1/events/"),
    "a slash too many": Ask("POST /v1/reservations/", JSON, RESERVATION),
    "a part too many": Ask(f"GET /v1/events/{ID}/x"),
    "another method": Ask("PATCH /v1/cart"),
    "another method with an ID": Ask(f"POST /v1/events/{ID}"),
    "more behind the ID": Ask(
        f"POST /v1/events/{ID}/cancel", decided=DecidedOutcome("{}", KEY, NOW, None)
    ),
}


@pytest.fixture
def app() -> FastAPI:
    return create_app(SETTINGS)


@pytest.fixture
def ordinary_app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """The app without the fast path."""
    with monkeypatch.context() as patched:
        patched.setattr(gateway_app, "HOT_ENDPOINTS", ())
        return create_app(SETTINGS)


@pytest.mark.parametrize("ask", (HOT | OTHERS).values(), ids=(HOT | OTHERS).keys())
async def test_the_response_is_the_same(
    app: FastAPI, ordinary_app: FastAPI, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    answers = []
    for each in (app, ordinary_app):
        services: Services = each.state.services
        stand_behind(services, ask, monkeypatch)
        answers.append(await answer(each, services, ask))
        answers[-1]["observed"] = observations(services)
        assert list(answers[-1]["observed"].values()) == [1]
    assert answers[0] == answers[1]


@pytest.mark.parametrize("ask", HOT.values(), ids=HOT.keys())
async def test_a_hot_request_does_not_reach_the_router(
    app: FastAPI, ask: Ask, monkeypatch: pytest.MonkeyPatch
):
    services: Services = app.state.services
    stand_behind(services, ask, monkeypatch)
    monkeypatch.setattr(app.router, "middleware_stack", not_reached)
    await answer(app, services, ask)


@pytest.mark.parametrize("ask", OTHERS.values(), ids=OTHERS.keys())
async def test_any_other_request_reaches_the_router(ask: Ask):
    app = create_app(SETTINGS)
    hot = [route for route in app.routes if getattr(route, "endpoint", None) in HOT_ENDPOINTS]
    reached: list[dict[str, Any]] = []

    async def router(scope: Any, receive: Any, send: Any) -> None:
        reached.append(scope)

    times = Metrics().request_times
    await FastPath(router, hot, times)(scope(ask, {}), not_reached, not_reached)
    assert reached == [scope(ask, {})]


async def test_middleware_added_to_the_app_sees_hot_requests(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
):
    app.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"])
    services: Services = app.state.services
    ask = Ask("GET /v1/cart", {"origin": "https://shop.example"})
    stand_behind(services, ask, monkeypatch)
    headers = dict((await answer(app, services, ask))["headers"])
    assert headers[b"access-control-allow-origin"] == b"https://shop.example"


async def test_a_hot_request_that_is_cancelled_is_observed_once(
    app: FastAPI, monkeypatch: pytest.MonkeyPatch
):
    services: Services = app.state.services
    stand_behind(services, HOT["reserved"], monkeypatch)
    waits = asyncio.Event()

    async def submit(*_: Any) -> Any:
        waits.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(services.publisher, "submit", submit)
    asking = asyncio.create_task(answer(app, services, HOT["reserved"]))
    await waits.wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert observations(services) == {("/v1/reservations", "POST", "500"): 1}


async def not_reached(*_: Any) -> None:
    raise AssertionError


def stand_behind(services: Services, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    async def submit(command: Any, wait_seconds: float, while_polling: Any) -> Any:
        return given(ask.decided)

    async def event(event_id: str) -> Any:
        return given(ask.event)

    async def nothing(*_: Any) -> list[Any]:
        return []

    async def cart(user_id: str) -> Any:
        assert user_id == ME
        return EMPTY_CART

    async def user(user_id: str) -> User:
        return User(user_id, "ada@example.com")

    monkeypatch.setattr(services.publisher, "submit", submit)
    monkeypatch.setattr(services.queries, "event", event)
    monkeypatch.setattr(services.queries, "cart", cart)
    monkeypatch.setattr(services.outcome_poller, "_find", nothing)
    monkeypatch.setattr(services.tokens, "_find_user", user)


def given(what: Any) -> Any:
    if isinstance(what, Exception):
        raise what
    return what


async def answer(way: ASGIApp, services: Services, ask: Ask) -> dict[str, Any]:
    """Return status, headers and body of an answer, and what the server would log."""
    headers = {"idempotency-key": KEY, **ask.headers}
    if not ask.anonymous:
        headers["authorization"] = f"Bearer {services.tokens.issue(ME)}"
    bodies = [ask.body]
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        if not bodies:  # the client stays
            await asyncio.Event().wait()
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    raised = None
    try:
        await asyncio.wait_for(way(scope(ask, headers), receive, send), 5)
    except ValueError as bug:
        raised = str(bug)
    start, *chunks = sent
    return {
        "status": start["status"],
        "headers": sorted(start["headers"]),
        "body": without_time(b"".join(chunk["body"] for chunk in chunks)),
        "raised": raised,
    }


def scope(ask: Ask, headers: dict[str, str]) -> dict[str, Any]:
    method, path = ask.line.split(" ", 1)
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 8000),
        "http_version": "1.1",
        "headers": [
            (b"host", b"x"),
            *((name.encode(), value.encode()) for name, value in headers.items()),
        ],
    }


def without_time(body: bytes) -> bytes:
    """Cut off what a pending outcome says of the time of its submission."""
    return body.partition(b'"submitted_at"')[0]


def observations(services: Services) -> dict[tuple[str, ...], float]:
    """Return how many requests were observed, for each route, method and status there was."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in services.metrics.requests.collect()
        for sample in metric.samples
        if sample.name.endswith("_count")
    }
