"""Stock uvicorn on a real socket, and an app whose requests wait until their client leaves."""

import asyncio
from typing import Any

import uvicorn

from dev.addresses import free_port
from gateway.server.client_disconnects import ClientDisconnectedError, ending_on_disconnect

WITHIN_SECONDS = 5


class WaitingServer:
    """At /wait a request waits until its client leaves; all others are answered at once."""

    def __init__(self) -> None:
        self.waiting = 0
        self.left = 0
        self.watch_after_seconds = 0.0
        self.port = free_port()
        config = uvicorn.Config(
            self.app,
            port=self.port,
            interface="asgi3",
            http="httptools",
            lifespan="off",
            log_config=None,
        )
        self.server = uvicorn.Server(config)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/wait":
            self.waiting += 1
            await asyncio.sleep(self.watch_after_seconds)
            try:
                with ending_on_disconnect(receive):
                    await asyncio.sleep(WITHIN_SECONDS)
            except ClientDisconnectedError:
                self.left += 1
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def ask(self, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return reader, writer


async def eventually(is_so: Any) -> None:
    async with asyncio.timeout(WITHIN_SECONDS):
        while not is_so():
            await asyncio.sleep(0.01)
