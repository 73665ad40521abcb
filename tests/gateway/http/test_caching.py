"""Caching: every GET route is kept by all caches or by none; ETags compare as RFC 9110 says."""

import asyncio
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request

from gateway.app import create_app
from gateway.http.caching import PUBLIC, PublicPage, unless_client_has_it
from gateway.http.problems import ProblemError
from gateway.services import Services
from shared.ids import new_id
from tests.gateway.http.test_openapi import SETTINGS
from tests.gateway.server.test_fast_path import PAGE, Ask, answer, stand_behind

CACHEABLE = {"/v1/events", "/v1/events/{event_id}"}
ROUTES = sorted(
    route.path
    for route in create_app(SETTINGS).routes
    if isinstance(route, APIRoute) and "GET" in (route.methods or ())
)
DOCUMENT = b'{"name":"Concert"}'
TAG = PublicPage(DOCUMENT).etag


@pytest.fixture
def app() -> FastAPI:
    return create_app(SETTINGS)


async def get(
    app: FastAPI, path: str, monkeypatch: pytest.MonkeyPatch, **headers: str
) -> tuple[int, dict[bytes, bytes]]:
    services: Services = app.state.services
    ask = Ask(f"GET {path}", headers, event=PAGE)
    stand_behind(services, ask, monkeypatch)

    async def events(*_: Any) -> list[Any]:
        return []

    async def user(*_: Any) -> None:
        return None

    monkeypatch.setattr(services.queries, "events", events)
    monkeypatch.setattr(services.queries, "user", user)
    monkeypatch.setattr("gateway.routes.commands.STREAM_SECONDS", 0)
    answered = await asyncio.wait_for(answer(app, services, ask), 5)
    return answered["status"], dict(answered["headers"])


@pytest.mark.parametrize("route", ROUTES)
async def test_every_get_route_says_whether_caches_may_keep_it(
    app: FastAPI, route: str, monkeypatch: pytest.MonkeyPatch
):
    path = "/".join(new_id() if part.startswith("{") else part for part in route.split("/"))
    _, headers = await get(app, path, monkeypatch)
    expected = PUBLIC if route in CACHEABLE else "no-store"
    assert headers[b"cache-control"] == expected.encode()
    assert (b"etag" in headers) == (route in CACHEABLE)


@pytest.mark.parametrize("path", ["/v1/events", f"/v1/events/{PAGE.id}"], ids=["list", "page"])
async def test_a_client_that_has_the_page_is_answered_304(
    app: FastAPI, path: str, monkeypatch: pytest.MonkeyPatch
):
    status, headers = await get(app, path, monkeypatch)
    assert status == 200
    etag = headers[b"etag"].decode()
    status, again = await get(app, path, monkeypatch, **{"if-none-match": etag})
    assert status == 304
    assert again == {b"etag": headers[b"etag"], b"cache-control": headers[b"cache-control"]}


async def test_problems_are_not_kept(app: FastAPI, monkeypatch: pytest.MonkeyPatch):
    for path in ("/v1/events/x", "/v1/events?limit=0", "/v1/nothing"):
        _, headers = await get(app, path, monkeypatch, **{"if-none-match": "*"})
        assert b"etag" not in headers
    assert ProblemError("overloaded").response().headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("if_none_match", "status"),
    [
        (TAG, 304),
        (f"W/{TAG}", 304),
        ("*", 304),
        (f'"x, y" ,W/"z",\t{TAG}', 304),
        ('"another"', 200),
        (TAG.strip('"'), 200),
        (f'"a{TAG[1:]}', 200),
        ("", 200),
        ('"*"', 200),
    ],
)
def test_tags_compare_weakly(if_none_match: str, status: int):
    page = PublicPage(DOCUMENT)
    headers = [(b"if-none-match", b'"of another line"'), (b"if-none-match", if_none_match.encode())]
    request = Request({"type": "http", "headers": headers})
    assert unless_client_has_it(request, page).status_code == status


def test_other_bytes_have_another_tag():
    assert PublicPage(DOCUMENT).etag == TAG != PublicPage(DOCUMENT + b" ").etag
