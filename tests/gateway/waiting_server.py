"""uvicorn with our protocol, on a real socket, and an app whose requests wait on demand."""

import asyncio
from typing import Any

import uvicorn
from starlette.responses import Response

from dev.addresses import free_port
from gateway.http.json_response import JsonResponse
from gateway.server.client_disconnects import on_disconnect
from gateway.server.repeated_reads import RepeatedReads, recognising
from gateway.telemetry import Metrics
from tests.gateway.shedders import a_shedder

WITHIN_SECONDS = 5
LARGE_BYTES = 8 << 20
"""More than the buffers of both sockets hold."""


class WaitingServer:
    """At /wait a request waits until its client leaves, at /later it may go on first; at /large
    much is answered, elsewhere nothing, at once."""

    def __init__(self) -> None:
        self.waiting = 0
        self.arrived = 0
        self.go_on = asyncio.Event()
        self.left = 0
        self.port = free_port()
        metrics = Metrics()
        reads = RepeatedReads(self.read_page, metrics.request_times)
        config = uvicorn.Config(
            self.app,
            port=self.port,
            interface="asgi3",
            http=recognising(reads, a_shedder(metrics)),
            lifespan="off",
            log_config=None,
        )
        self.server = uvicorn.Server(config)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"].startswith("/later"):
            self.arrived += 1
            await self.go_on.wait()
        if scope["path"].endswith("/wait"):
            left = asyncio.Event()
            on_disconnect(scope, left.set)
            self.waiting += 1
            await asyncio.wait_for(left.wait(), WITHIN_SECONDS)
            self.left += 1
        body = bytes(LARGE_BYTES) if scope["path"] == "/large" else b""
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def read_page(self, event_id: str) -> asyncio.Future[Response]:
        page: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        page.set_result(JsonResponse(b"{}"))
        return page

    async def ask(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return reader, writer


async def eventually(is_so: Any) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)
