"""One connection through a proxy: an end towards the client, and one towards the server."""

import asyncio
import re
import socket
import struct
from collections import deque
from contextlib import suppress
from typing import Protocol, cast

COMMIT = b"Q\x00\x00\x00\x0cCOMMIT;\x00"
"""The simple query with which asyncpg ends a transaction, in a separate write."""
GREETINGS = 3
"""Writes of a client among which its settings are: it asks for TLS, and then introduces itself."""
KEEPALIVE_NAMES = ("idle", "interval", "count")
KEEPALIVES = re.compile(rb"\0tcp_keepalives_(idle|interval|count)\0(\d+)")
"""In the greeting of a client that asks Postgres for keepalives."""
RESET = struct.pack("ii", 1, 0)
"""Linger for no time: a close is a reset."""
MAX_HELD_BYTES = 1 << 20
"""What a connection keeps back before its sender has to wait."""


class Rules(Protocol):
    """The current behaviour of a proxy, and the events of its connections."""

    connections: "set[Connection]"
    is_stalled: bool
    delay_seconds: float
    commits_to_lose: int
    commits_lost: int
    commits_to_hold: int
    commit_held: asyncio.Event

    def opened(self, connection: "Connection") -> None: ...


class Connection:
    def __init__(self, proxy: Rules) -> None:
        self.proxy = proxy
        self.is_dead = False
        self.client = _End(self)
        self.server = _End(self)
        self._loses_answer = False
        self._greetings = GREETINGS
        self._keepalives: dict[bytes, int] = {}
        self._hears_no_more = False
        """Whether the client's EOF was passed on to the server."""

    def received(self, end: "_End", data: bytes) -> None:
        if self.is_dead:
            return
        if end is self.client:
            if data == COMMIT:
                self._commits()
            elif self._greetings:
                self._greetings -= 1
                self._keepalives |= {name: int(value) for name, value in KEEPALIVES.findall(data)}
            if not self._hears_no_more:
                self.server.send(data)
        elif self._loses_answer:  # it has arrived, so the transaction is committed
            self.proxy.commits_lost += 1
            self.break_off()
        else:
            self.client.send(data)

    def _commits(self) -> None:
        """Decide whether the response to a forwarded COMMIT is lost."""
        proxy = self.proxy
        if proxy.commits_to_lose > 0:
            proxy.commits_to_lose -= 1
            self._loses_answer = True
        elif proxy.commits_to_hold > 0:
            proxy.commits_to_hold -= 1
            # Buffered data of the server is sent first.
            asyncio.get_running_loop().call_soon(self._hold_answer)

    def _hold_answer(self) -> None:
        self.is_dead = True
        self.proxy.commit_held.set()

    def die(self) -> None:
        self.is_dead = True
        asked = self._keepalives
        if len(asked) == len(KEEPALIVE_NAMES):
            seconds = asked[b"idle"] + asked[b"interval"] * asked[b"count"]
            asyncio.get_running_loop().call_later(seconds, self.server.abort)

    def flush(self) -> None:
        self.client.flush()
        self.server.flush()

    def end_requests(self) -> None:
        self._hears_no_more = True
        if self.server.transport is not None and self.server.transport.can_write_eof():
            self.server.transport.write_eof()

    def break_off(self) -> None:
        """Reset both sides: data in transit is lost."""
        self.proxy.connections.discard(self)
        self.client.abort()
        self.server.abort()

    def end(self) -> None:
        """Close both sides after forwarding the received data: one side has closed."""
        self.proxy.connections.discard(self)
        for end in (self.client, self.server):
            if end.transport is not None:
                end.transport.close()


class _End(asyncio.Protocol):
    """One end of a connection, and the data waiting to be sent."""

    def __init__(self, connection: Connection) -> None:
        self.transport: asyncio.Transport | None = None
        self._connection = connection
        self._held: deque[tuple[float, bytes]] = deque()
        self._held_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self is self._connection.client:
            self._connection.proxy.opened(self._connection)
        self.flush()

    def data_received(self, data: bytes) -> None:
        self._connection.received(self, data)

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, error: Exception | None) -> None:
        # The other side of a dead connection does not notice.
        if not self._connection.is_dead:
            self._connection.end()

    def pause_writing(self) -> None:
        if (other := self._other.transport) is not None:
            other.pause_reading()

    def resume_writing(self) -> None:
        if (other := self._other.transport) is not None:
            other.resume_reading()

    @property
    def _other(self) -> "_End":
        return (
            self._connection.server if self is self._connection.client else self._connection.client
        )

    def send(self, data: bytes) -> None:
        proxy = self._connection.proxy
        if self.transport is not None and not (
            self._held or proxy.is_stalled or proxy.delay_seconds
        ):
            self.transport.write(data)
            return
        due_at = asyncio.get_running_loop().time() + proxy.delay_seconds
        self._held.append((due_at, data))
        self._held_bytes += len(data)
        if self._held_bytes > MAX_HELD_BYTES:
            self.pause_writing()
        self.flush()

    def abort(self) -> None:
        """Close with a reset."""
        if self.transport is not None:
            with suppress(OSError):  # closed by then
                self.transport.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, RESET
                )
            self.transport.abort()

    def flush(self) -> None:
        """Send the data that is due, and schedule the rest."""
        if self.transport is None or self._connection.proxy.is_stalled or not self._held:
            return
        loop = asyncio.get_running_loop()
        while self._held and self._held[0][0] <= loop.time():
            data = self._held.popleft()[1]
            self._held_bytes -= len(data)
            self.transport.write(data)
        if not self._held:
            self.resume_writing()
        elif self._timer is None or self._timer.when() <= loop.time():
            self._timer = loop.call_at(self._held[0][0], self.flush)
