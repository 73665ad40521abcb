"""CORS: scripts of the configured origins may call every route and read every answer."""

from typing import Any

import pytest
from fastapi import FastAPI

from gateway.app import create_app
from gateway.server.cross_origin import METHODS, REQUEST_HEADERS, RESPONSE_HEADERS
from gateway.services import Services
from tests.gateway.http.test_openapi import SETTINGS
from tests.gateway.server.test_fast_path import (
    HOT,
    JSON,
    KEY,
    PAGE,
    RESERVATION,
    Ask,
    answer,
    stand_behind,
)

SHOP = "https://shop.example"
OTHER = "https://other.example"
EVENT = f"GET /v1/events/{PAGE.id}"
ANSWERS = {
    "a hot route": HOT["reserved"],
    "a problem of a hot route": HOT["no token"],
    "another route": Ask("GET /v1/me"),
    "a stream": Ask(f"GET /v1/commands/{KEY}/events"),
    "no route": Ask("GET /v1/nothing"),
    "another method": Ask("PATCH /v1/cart"),
    "a bug of a hot route": HOT["a bug"],
    "a bug": Ask("GET /v1/me", decided=ValueError("a bug")),
    "health": Ask("GET /health/live"),
    "metrics": Ask("GET /metrics"),
}


def created(*origins: str) -> FastAPI:
    return create_app(SETTINGS.model_copy(update={"cors_origins": origins}))


async def headers_of(
    app: FastAPI, ask: Ask, monkeypatch: pytest.MonkeyPatch, origin: str | None = SHOP
) -> dict[str, str]:
    services: Services = app.state.services
    stand_behind(services, ask, monkeypatch)

    async def user(*_: Any) -> None:
        if isinstance(ask.decided, Exception):
            raise ask.decided

    monkeypatch.setattr(services.queries, "user", user)
    monkeypatch.setattr("gateway.routes.commands.STREAM_SECONDS", 0)
    origins = {"origin": origin} if origin else {}
    asked = Ask(ask.line, ask.headers | origins, ask.body, ask.decided, ask.event, ask.anonymous)
    answered = await answer(app, services, asked)
    found = {name.decode(): value.decode() for name, value in answered["headers"]}
    return found | {":status": str(answered["status"])}


@pytest.mark.parametrize("ask", ANSWERS.values(), ids=ANSWERS.keys())
async def test_every_answer_can_be_read(ask: Ask, monkeypatch: pytest.MonkeyPatch):
    headers = await headers_of(created(SHOP, OTHER), ask, monkeypatch)
    assert headers["access-control-allow-origin"] == SHOP
    assert headers["access-control-expose-headers"] == ", ".join(RESPONSE_HEADERS)
    assert "access-control-allow-credentials" not in headers


async def test_the_answer_of_an_overloaded_gateway_can_be_read(monkeypatch: pytest.MonkeyPatch):
    app = created(SHOP)
    services: Services = app.state.services
    monkeypatch.setattr(services.overload, "refuses_request", lambda *_: True)
    headers = await headers_of(app, Ask("GET /v1/cart"), monkeypatch)
    assert headers[":status"] == "503"
    assert headers["retry-after"]
    assert headers["access-control-allow-origin"] == SHOP


@pytest.mark.parametrize("method", METHODS)
async def test_a_preflight_is_answered_without_the_routes(
    method: str, monkeypatch: pytest.MonkeyPatch
):
    app = created(SHOP)
    services: Services = app.state.services
    monkeypatch.setattr(services.overload, "refuses_request", lambda *_: True)
    asks = {
        "access-control-request-method": method,
        "access-control-request-headers": ",".join(REQUEST_HEADERS).lower(),
    }
    ask = Ask("OPTIONS /v1/reservations", asks, anonymous=True)
    headers = await headers_of(app, ask, monkeypatch)
    assert headers[":status"] == "200"
    assert headers["access-control-allow-origin"] == SHOP
    assert method in headers["access-control-allow-methods"]
    assert set(REQUEST_HEADERS) <= set(headers["access-control-allow-headers"].split(", "))
    refused = await headers_of(app, ask, monkeypatch, origin=OTHER)
    assert refused[":status"] == "400"
    assert "access-control-allow-origin" not in refused


async def test_a_page_that_many_requests_share_names_the_origin_of_each(
    monkeypatch: pytest.MonkeyPatch,
):
    """And caches keep the answers apart, also those to requests without an origin."""
    app = created(SHOP, OTHER)
    for line in (EVENT, "GET /health/live"):
        for origin in (SHOP, None, OTHER, "https://third.example"):
            headers = await headers_of(app, Ask(line, event=PAGE), monkeypatch, origin)
            named = origin if origin in (SHOP, OTHER) else None
            assert headers.get("access-control-allow-origin") == named
            assert headers["vary"] == "Origin"


async def test_all_origins_are_allowed_by_a_star(monkeypatch: pytest.MonkeyPatch):
    headers = await headers_of(created("*"), Ask("GET /v1/cart"), monkeypatch, OTHER)
    assert headers["access-control-allow-origin"] == "*"


async def test_no_origin_is_allowed_by_default(monkeypatch: pytest.MonkeyPatch):
    app = create_app(SETTINGS)
    ask = Ask("POST /v1/reservations", JSON, RESERVATION, decided=HOT["reserved"].decided)
    headers = await headers_of(app, ask, monkeypatch)
    assert not [name for name in headers if name.startswith("access-control")]
