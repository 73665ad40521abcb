"""Refuses request heads that uvicorn accepts and that HTTP implementations read differently.

With `http="httptools"`, uvicorn does not bound the size of a head, treats any transfer coding as
`chunked`, accepts repeated headers that may occur once, and treats a body after `Upgrade` as data
of another protocol. An endless or slow head does not reach this code: the proxy in front bounds it.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.problems import ProblemError

MAX_HEAD_BYTES = 64 * 1024
LINE_BYTES = len(b": \r\n")
CLOSE = {"Connection": "close"}

_AT_MOST_ONCE = frozenset((b"host", b"authorization", b"content-type"))
_FRAMING = frozenset((b"transfer-encoding", b"upgrade"))


class RequestHeadMiddleware:
    """Answers 400, 431 or 501 to a head that must not be processed, and closes the connection."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                asks_for_upgrade = check_head(scope)
            except ProblemError as problem:
                await problem.response()(scope, receive, send)
                return
            if asks_for_upgrade:
                send = _closing(send)
        await self._app(scope, receive, send)


def check_head(scope: Scope) -> bool:
    """Check the head; return whether it asks for an upgrade.

    Raises `head_too_large`, `malformed_request` or `unsupported_transfer_coding`.
    """
    headers = scope["headers"]
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    size += LINE_BYTES * len(headers)
    found: list[bytes] = []
    is_ordinary = True
    for name, value in headers:
        size += len(name) + len(value)
        if name in _AT_MOST_ONCE:
            found.append(name)
        elif name in _FRAMING:
            is_ordinary = False
    if size > MAX_HEAD_BYTES:
        raise ProblemError("head_too_large", headers=CLOSE)
    if len(found) != len(set(found)):
        raise _malformed("A header is repeated that may occur once.")
    if b"host" not in found and scope["http_version"] == "1.1":
        raise _malformed("Host is missing.")  # RFC 9112, section 3.2
    return False if is_ordinary else _check_framing(headers)


def _check_framing(headers: list[tuple[bytes, bytes]]) -> bool:
    codings = [value.strip().lower() for name, value in headers if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        # RFC 9112, section 6.1: 501 for a transfer coding that is not understood.
        raise ProblemError("unsupported_transfer_coding", headers=CLOSE)
    has_length = any(name == b"content-length" and value != b"0" for name, value in headers)
    asks_for_upgrade = any(name == b"upgrade" for name, _ in headers)
    if asks_for_upgrade and (codings or has_length):
        raise _malformed("An upgrade with a body is not supported.")
    return asks_for_upgrade


def _malformed(detail: str) -> ProblemError:
    return ProblemError("malformed_request", detail, headers=CLOSE)


def _closing(send: Send) -> Send:
    """Close after the response: uvicorn may misread what follows a head with an upgrade."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return send_and_close
