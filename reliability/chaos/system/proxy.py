"""A TCP proxy that fails as networks do: it cuts, delays, stalls, swallows and half-closes.

It reads no protocol but for Postgres's COMMIT, whose answer it can lose, and for the keepalives
that a client asks Postgres for.
"""

import asyncio
import random
from typing import Self

from dev.addresses import LOOPBACK, free_port
from reliability.chaos.system.connection import Connection

CONNECT_SECONDS = 5.0


class Proxy:
    """Passes bytes between clients of `port` and one server."""

    def __init__(self, host: str, port: int) -> None:
        self.port = free_port()
        self.connections: set[Connection] = set()
        self.is_open = True
        """A closed proxy refuses connections."""
        self.is_stalled = False
        self.delay_seconds = 0.0
        self.commits_to_lose = 0
        self.commits_lost = 0
        self.commits_to_hold = 0
        self.commit_held = asyncio.Event()
        """Set once a COMMIT was passed on whose answer is held back indefinitely."""
        self._target = (host, port)
        self._server: asyncio.Server
        self._fixtures: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, LOOPBACK, self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.is_open = False
        self.cut()
        for task in self._fixtures:
            task.cancel()

    def cut(self, share: float = 1.0, rng: random.Random | None = None) -> None:
        """Break so many of the connections, with a reset."""
        for connection in list(self.connections):
            if share >= 1 or (rng or random).random() < share:
                connection.break_off()

    def stall(self) -> None:
        """Keep everything back until `flow`: nothing is lost, nothing arrives."""
        self.is_stalled = True

    def flow(self) -> None:
        self.is_stalled = False
        for connection in self.connections:
            connection.flush()

    def swallow(self) -> None:
        """Let the connections that there are go dead, as behind a router that has forgotten them.

        Neither side hears a word, nor that it is over; new connections work. A server that was
        asked for keepalives notices after their time: here they are answered by the proxy's
        own system, so the proxy counts the seconds itself.
        """
        for connection in self.connections:
            connection.die()

    def forget_the_dead(self) -> None:
        """Tell both sides of dead connections that they are over, as keepalives do in the end."""
        for connection in [connection for connection in self.connections if connection.is_dead]:
            connection.break_off()

    def half_close(self) -> None:
        """Tell the server that its clients have said all; clients may still hear it."""
        for connection in self.connections:
            connection.end_requests()

    def _accept(self) -> asyncio.Protocol:
        connection = Connection(self)
        return connection.client

    def opened(self, connection: Connection) -> None:
        if not self.is_open:
            connection.break_off()
            return
        self.connections.add(connection)
        task = asyncio.ensure_future(self._connect(connection))
        self._fixtures.add(task)
        task.add_done_callback(self._fixtures.discard)

    async def _connect(self, connection: Connection) -> None:
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                await asyncio.get_running_loop().create_connection(
                    lambda: connection.server, *self._target
                )
        except (OSError, TimeoutError):
            connection.break_off()
