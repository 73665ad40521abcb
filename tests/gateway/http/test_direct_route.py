"""Direct routes: what they read for their endpoints, and what they send."""

from typing import Annotated

import pytest
from fastapi import Query
from starlette.responses import Response

from gateway.http.direct_route import DirectRoute
from gateway.http.json_response import JsonResponse


async def list_things(limit: Annotated[int, Query()] = 1) -> Response:
    raise AssertionError(limit)


def test_an_endpoint_cannot_ask_for_what_is_not_read():
    with pytest.raises(TypeError, match="/things"):
        DirectRoute("/things", list_things)


@pytest.mark.parametrize("headers", [None, {"Preference-Applied": "wait=5", "Location": "/v1/me"}])
@pytest.mark.parametrize("status", [200, 201, 202])
async def test_json_is_sent_as_starlette_would(status: int, headers: dict[str, str] | None):
    document = '{"name": "Zoë"}'.encode()
    ours = await sent(JsonResponse(document, status, headers))
    theirs = await sent(Response(document, status, headers, "application/json"))
    assert ours == theirs


async def sent(response: Response) -> list[dict]:
    messages = []

    async def send(message) -> None:
        messages.append(message)

    await response({"type": "http"}, None, send)
    messages[0]["headers"] = sorted(messages[0]["headers"])
    return messages
