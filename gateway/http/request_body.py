"""Reads the body of a request within bounds of size and time, and validates it strictly."""

import asyncio
from typing import TypeVar

from fastapi import Request
from pydantic import ValidationError
from starlette.types import Message, Receive

from gateway.http.problems import ProblemError, invalid_request
from shared.bodies import Body
from shared.strict_json import repeats_member

MAX_BODY_BYTES = 64 * 1024
MAX_DISCARDED_BYTES = 1024 * 1024
BODY_TIMEOUT_SECONDS = 8
OF_A_BODY = ("content-type", "transfer-encoding")

Model = TypeVar("Model", bound=Body)


async def read_json(request: Request, model: type[Model]) -> Model:
    """Read the body as `model`.

    Raises `unsupported_media_type`, `body_too_large`, `request_timeout` or `invalid_request`.
    """
    body = await read_body(request, "application/json")
    try:
        # In JSON mode pydantic takes times as strings only, and converts no numbers.
        # Its parser also refuses lone surrogates and deep nesting.
        read = model.model_validate_json(body)
    except ValidationError as error:
        raise invalid_request(error.errors(), where="body") from None
    if repeats_member(body, read.member_count()):
        raise ProblemError("invalid_request", errors=[{"loc": ["body"], "msg": "duplicate member"}])
    return read


async def read_optional_json(request: Request, model: type[Model]) -> Model:
    """Read the body as `model`, which a request without a body is empty. Raises as `read_json`."""
    headers = request.headers
    if headers.get("content-length", "0") == "0" and not any(n in headers for n in OF_A_BODY):
        return model()
    return await read_json(request, model)


async def read_body(request: Request, media_type: str) -> bytes:
    """Return the body of a request whose Content-Type is `media_type`.

    Raises `unsupported_media_type`, `body_too_large` or `request_timeout`.
    """
    headers = request.headers
    if headers.get("content-type", "").partition(";")[0].strip().lower() != media_type:
        raise ProblemError("unsupported_media_type", f"The body must be {media_type}.")
    if "content-encoding" in headers:
        raise ProblemError("unsupported_media_type", "The body must not be compressed.")
    first = _receive_nowait(request.receive)
    if first is not None and not first.get("more_body", False):
        body: bytes = first.get("body", b"")
        if first["type"] == "http.request" and len(body) <= MAX_BODY_BYTES:
            return body
    try:
        async with asyncio.timeout(BODY_TIMEOUT_SECONDS):
            return await _read_bounded(request.receive, first)
    except TimeoutError:
        raise ProblemError("request_timeout", headers={"Connection": "close"}) from None


def _receive_nowait(receive: Receive) -> Message | None:
    """Return the message that has already arrived; None if `receive` would wait.

    Small bodies arrive with their headers, and a timer would cost more than reading them.
    """
    receiving = receive()
    try:
        receiving.send(None)  # type: ignore[attr-defined]  # a coroutine, as ASGI says
    except StopIteration as received:
        message: Message = received.value
        return message
    receiving.close()  # type: ignore[attr-defined]  # the same
    return None


async def _read_bounded(receive: Receive, first: Message | None) -> bytes:
    body = b""
    size = 0
    message = first or await receive()
    # Up to a bound, the rest of a body that is too large is read and discarded: a client that is
    # still writing when the connection is closed does not see the response.
    while True:
        if message["type"] == "http.disconnect":
            raise ProblemError("request_timeout")
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            body += chunk
        if size > MAX_DISCARDED_BYTES or not message.get("more_body", False):
            break
        message = await receive()
    if size > MAX_BODY_BYTES:
        raise ProblemError("body_too_large", headers={"Connection": "close"})
    return body
