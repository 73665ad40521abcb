"""One keep-alive HTTP/1.1 connection with one request in flight, parsed no more than needed.

A general client costs more for each request than the gateway does, and the load shares its
machine with what it measures.
"""

import asyncio
import re
import ssl
from collections.abc import Callable
from typing import cast
from urllib.parse import urlsplit

CONNECT_SECONDS = 10.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_STATUS_AT = slice(9, 12)
"""The position of the status in `HTTP/1.1 200 OK`."""

OnAnswer = Callable[[int, bytes], None]
"""Takes the status and the body of a response."""


class Target:
    """The address that a URL names."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or parts.hostname is None:
            raise ValueError(f"{url} is not the URL of a gateway, such as http://127.0.0.1:8000")
        self.tls = ssl.create_default_context() if parts.scheme == "https" else None
        self.host = parts.hostname
        self.port = parts.port or (443 if self.tls else 80)
        self.host_header = parts.netloc.rpartition("@")[2]
        self.path = parts.path.rstrip("/")


class HttpConnection(asyncio.Protocol):
    """Sends one request at a time; calls back with the complete response or its failure."""

    def __init__(self, on_answer: OnAnswer, on_lost: Callable[[str], None]) -> None:
        self.is_open = False
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._transport: asyncio.Transport
        self._received = b""
        self._awaiting = False

    async def open(self, target: Target) -> None:
        """Connect. Raises `OSError` or `TimeoutError`."""
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().create_connection(
                lambda: self, target.host, target.port, ssl=target.tls
            )

    def send(self, request: bytes) -> None:
        self._awaiting = True
        self._transport.write(request)

    def abort(self) -> None:
        """Abort the connection; a request in flight counts as lost."""
        if self.is_open:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._received = b""
        self.is_open = True

    def connection_lost(self, error: Exception | None) -> None:
        self.is_open = False
        if self._awaiting:
            self._awaiting = False
            self._on_lost(str(error or "closed by the other side"))

    def data_received(self, data: bytes) -> None:
        received = self._received = self._received + data if self._received else data
        head_end = received.find(b"\r\n\r\n")
        if head_end < 0:
            return
        length = _LENGTH.search(received, 0, head_end)
        if length is None:
            self._transport.abort()  # without a known length: not from a gateway
            return
        body_at = head_end + 4
        end = body_at + int(length[1])
        if len(received) < end:
            return
        self._received = received[end:]
        self._awaiting = False
        if _CLOSE.search(received, 0, head_end):
            self.is_open = False
            self._transport.close()
        self._on_answer(int(received[_STATUS_AT]), received[body_at:end])


def request(
    target: Target, method: str, path: str, headers: dict[str, str], body: bytes = b""
) -> bytes:
    """Write a request."""
    head = [f"{method} {target.path}{path} HTTP/1.1", f"Host: {target.host_header}"]
    head += [f"{name}: {value}" for name, value in headers.items()]
    if method != "GET":
        head.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*head, "", "")).encode() + body
