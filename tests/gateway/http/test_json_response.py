"""JSON responses: sent as Starlette sends its own."""

import pytest
from starlette.responses import Response

from gateway.http.json_response import JsonResponse


@pytest.mark.parametrize("headers", [None, {"Preference-Applied": "wait=5", "Location": "/v1/me"}])
@pytest.mark.parametrize("status", [200, 201, 202])
async def test_json_is_sent_as_starlette_would(status: int, headers: dict[str, str] | None):
    document = '{"name": "Zoë"}'.encode()
    ours = await sent(JsonResponse(document, status, headers))
    all_headers = {**(headers or {}), "Cache-Control": "no-store"}
    theirs = await sent(Response(document, status, all_headers, "application/json"))
    assert ours == theirs


async def sent(response: Response) -> list[dict]:
    messages = []

    async def send(message) -> None:
        messages.append(message)

    await response({"type": "http"}, None, send)
    messages[0]["headers"] = sorted(messages[0]["headers"])
    return messages
