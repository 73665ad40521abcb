"""A connection to a gateway's protocol, without a socket."""

import asyncio
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState


class Wire:
    """The client's side, and an app that answers everything with 200 and nothing."""

    def __init__(self, protocol: type[asyncio.Protocol]) -> None:
        self.written = b""
        self.closed = False
        self.reached_the_app: list[str] = []
        state = ServerState()
        config = Config(self.app, http=protocol, interface="asgi3", log_config=None)
        config.load()
        self.protocol: Any = config.http_protocol_class(
            config=config, server_state=state, app_state={}
        )
        self.protocol.connection_made(self)
        self.state = state

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.reached_the_app.append(scope["path"])
        while (await receive())["more_body"]:
            pass
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def say(self, data: bytes) -> bytes:
        """Return what is answered."""
        self.protocol.data_received(data)
        return await self.heard()

    async def heard(self) -> bytes:
        """Return what was answered since."""
        for _ in range(5):
            await asyncio.sleep(0)
        written, self.written = self.written, b""
        return written

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None
