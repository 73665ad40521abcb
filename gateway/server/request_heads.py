"""Refuses heads that uvicorn passes on and that readers of HTTP disagree about.

uvicorn has no bound for a head with `http="httptools"`, takes any transfer coding for `chunked`,
lets headers repeat that may not, and takes the body behind an `Upgrade` for another protocol's.
A head that never ends, or comes slowly, does not get here: the proxy in front bounds it.
"""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.http.problems import ProblemError

MAX_HEAD_BYTES = 64 * 1024
LINE_BYTES = len(b": \r\n")

_AT_MOST_ONCE = {b"host", b"authorization", b"content-type"}
_CHECKED = _AT_MOST_ONCE | {b"transfer-encoding", b"upgrade"}


class RequestHeadMiddleware:
    """Answers 400, 431 or 501, and closes, for a head that must not be acted upon."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            problem = find_problem(scope)
            if problem is not None:
                await problem.response()(scope, receive, send)
                return
            if any(name == b"upgrade" for name, _ in scope["headers"]):
                send = _closing(send)
        await self._app(scope, receive, send)


def find_problem(scope: Scope) -> ProblemError | None:
    """Return the problem of a request's head: `head_too_large`, `malformed_request` or
    `unsupported_transfer_coding`; None where it has none."""
    size = len(scope.get("raw_path") or b"") + len(scope["query_string"])
    checked: list[tuple[bytes, bytes]] = []
    for name, value in scope["headers"]:
        size += len(name) + len(value) + LINE_BYTES
        if name in _CHECKED:
            checked.append((name, value))
    if size > MAX_HEAD_BYTES:
        return ProblemError("head_too_large", headers={"Connection": "close"})
    names = [name for name, _ in checked]
    if any(names.count(name) > 1 for name in names if name in _AT_MOST_ONCE):
        return _malformed("A header is repeated that may occur once.")
    if b"host" not in names and scope["http_version"] == "1.1":
        return _malformed("Host is missing.")  # RFC 9112, section 3.2
    codings = [value.strip().lower() for name, value in checked if name == b"transfer-encoding"]
    if codings and codings != [b"chunked"]:
        # RFC 9112, section 6.1: 501 for a transfer coding that is not understood.
        return ProblemError("unsupported_transfer_coding", headers={"Connection": "close"})
    if b"upgrade" in names and (codings or _declares_body(scope)):
        return _malformed("An upgrade with a body is not supported.")
    return None


def _declares_body(scope: Scope) -> bool:
    return any(name == b"content-length" and value != b"0" for name, value in scope["headers"])


def _malformed(detail: str) -> ProblemError:
    return ProblemError("malformed_request", detail, headers={"Connection": "close"})


def _closing(send: Send) -> Send:
    """Close after the response: uvicorn may misread what follows a head with an upgrade."""

    async def send_and_close(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
        await send(message)

    return send_and_close
