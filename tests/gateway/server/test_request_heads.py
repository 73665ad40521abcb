"""Heads of requests on stock uvicorn: what is refused, and what is acted upon."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvicorn

from dev.addresses import free_port
from gateway.server.request_heads import MAX_HEAD_BYTES, RequestHeadMiddleware
from tests.gateway.waiting_server import eventually

READ = b"GET /read HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"


def with_head(*lines: bytes) -> bytes:
    return b"\r\n".join((b"POST /write HTTP/1.1", *lines, b"", b""))


class Server:
    """An app behind the middleware that answers every request that reaches it."""

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.port = free_port()
        app = RequestHeadMiddleware(self._app)
        config = uvicorn.Config(
            app, port=self.port, http="httptools", ws="none", lifespan="off", log_config=None
        )
        self.uvicorn = uvicorn.Server(config)

    async def ask(self, *pieces: bytes) -> tuple[bytes, bytes, bool]:
        """Return the head and the body of the answer, and whether the connection was closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        async with asyncio.timeout(5):
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.01)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
            body = await reader.readexactly(length)
            try:
                closed = await asyncio.wait_for(reader.read(), 0.2) == b""
            except TimeoutError:
                closed = False
        writer.close()
        return head, body, closed

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached.append(scope["path"])
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    server = Server()
    serving = asyncio.create_task(server.uvicorn._serve())
    await eventually(lambda: server.uvicorn.started)
    yield server
    server.uvicorn.should_exit = True
    await serving


@pytest.mark.parametrize(
    ("request_", "status", "code"),
    [
        (with_head(b"Content-Length: 0"), 400, "malformed_request"),
        (with_head(b"Host: x", b"Host: x"), 400, "malformed_request"),
        (
            with_head(b"Host: x", b"Authorization: Bearer a", b"authorization: Bearer b"),
            400,
            "malformed_request",
        ),
        (
            with_head(b"Host: x", b"Content-Type: text/plain", b"Content-Type: application/json"),
            400,
            "malformed_request",
        ),
        (
            with_head(b"Host: x", b"Transfer-Encoding: gzip, chunked"),
            501,
            "unsupported_transfer_coding",
        ),
        (
            with_head(b"Host: x", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked"),
            501,
            "unsupported_transfer_coding",
        ),
    ],
)
async def test_a_head_that_readers_disagree_about_is_refused(
    server: Server, request_: bytes, status: int, code: str
):
    head, body, closed = await server.ask(request_)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"\r\ncontent-type: application/problem+json" in head
    assert json.loads(body)["code"] == code
    assert closed
    assert server.reached == []


@pytest.mark.parametrize(
    "request_",
    [
        with_head(b"Host: x", b"Transfer-Encoding: Chunked") + b"0\r\n\r\n",
        with_head(b"Host: x", b"X-Twice: 1", b"X-Twice: 1"),
    ],
)
async def test_other_heads_pass(server: Server, request_: bytes):
    head, _, closed = await server.ask(request_)
    assert head.startswith(b"HTTP/1.1 200 ")
    assert not closed


async def test_http_1_0_needs_no_host(server: Server):
    head, _, _ = await server.ask(b"GET /read HTTP/1.0\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("piece_bytes", [1_000, 50_000, 200_000])
@pytest.mark.parametrize(
    ("excess", "status"), [(-100, 200), (1, 431), (2_000, 431), (65_000, 431), (65_536, 431)]
)
async def test_the_bound_of_a_head_does_not_depend_on_its_pieces(
    server: Server, piece_bytes: int, excess: int, status: int
):
    request = with_head(b"Host: x", b"X-Long: " + b"x" * (MAX_HEAD_BYTES + excess))
    if status == 200:
        request = request.replace(b"x" * 100, b"", 1)
    pieces = [request[at : at + piece_bytes] for at in range(0, len(request), piece_bytes)]
    head, body, closed = await server.ask(*pieces)
    assert head.startswith(b"HTTP/1.1 %d " % status)
    if status == 431:
        assert json.loads(body)["code"] == "head_too_large"
        assert closed


async def test_an_upgrade_is_ignored_and_the_connection_closed(server: Server):
    head, _, closed = await server.ask(READ.replace(b"Host: x\r\n", b"Host: x\r\n" + UPGRADE))
    assert head.startswith(b"HTTP/1.1 200 ")
    assert closed


@pytest.mark.parametrize("in_one_piece", [True, False])
@pytest.mark.parametrize(
    "framing", [b"Content-Length: %d\r\n" % len(HIDDEN), b"Transfer-Encoding: chunked\r\n"]
)
async def test_the_body_behind_an_upgrade_is_never_a_request(
    server: Server, framing: bytes, in_one_piece: bool
):
    write = b"POST /write HTTP/1.1\r\nHost: x\r\n" + framing + UPGRADE + b"\r\n"
    pieces = (write + HIDDEN,) if in_one_piece else (write, HIDDEN)
    head, _, closed = await server.ask(*pieces)
    assert head.startswith(b"HTTP/1.1 400 ")
    assert closed
    assert server.reached == []
