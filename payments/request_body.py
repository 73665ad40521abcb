"""Reads the body of a request within a bound."""

from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request

MAX_BODY_BYTES = 262_144
"""As large as a message of the queue; Stripe's events are far smaller."""


async def read_body(request: Request) -> bytes:
    """Return the whole body. Raises 413 (RFC 9110, section 15.5.14) beyond `MAX_BODY_BYTES`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return bytes(body)
