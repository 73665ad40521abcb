"""The root: people are sent to the documentation, programs are told where it is."""

import httpx
import pytest

from gateway.app import create_app
from tests.gateway.http.test_openapi import SETTINGS

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


async def root(accept: str | None) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(SETTINGS))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        request = client.build_request("GET", "/")
        del request.headers["accept"]
        if accept is not None:
            request.headers["accept"] = accept
        return await client.send(request)


@pytest.mark.parametrize(
    "accept",
    [
        "application/json",
        "Application/JSON ; q=0.5",
        "application/*",
        "text/plain, application/json",
        "*/*, text/html;q=0",
        "application/json, text/html; q=0.000",
    ],
)
async def test_a_client_that_takes_json_alone_is_told_where_the_documentation_is(accept: str):
    answer = await root(accept)
    assert answer.status_code == 200
    assert answer.headers["vary"] == "Accept"
    assert answer.json() == {
        "name": "Holdfast",
        "version": create_app(SETTINGS).version,
        "documentation": "/docs",
        "openapi": "/openapi.json",
    }


@pytest.mark.parametrize(
    "accept",
    [None, "*/*", BROWSER, "text/html, application/json", "text/*, application/json", "image/png"],
)
async def test_every_other_client_is_sent_to_the_documentation(accept: str | None):
    answer = await root(accept)
    assert answer.status_code == 307
    assert answer.headers["location"] == "/docs"
    assert answer.headers["vary"] == "Accept"
