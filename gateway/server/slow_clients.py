"""Closes connections whose client keeps us waiting: for the end of a head, or to read an answer.

uvicorn waits for ever for either, and for a first request too. A look at all connections now and
then costs nothing a request, which a timer would.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any

HEAD_TIMEOUT_SECONDS = 8.0
UNREAD_TIMEOUT_SECONDS = 30.0
"""How long a client may read nothing of what was sent to it: what is left is kept for it."""
LOOK_EVERY_SECONDS = 1.0

_A_FIRST_BYTE, _A_READER = object(), object()


class SlowClients:
    """Looks at the connections of a server again and again."""

    def __init__(self) -> None:
        self._connections: Collection[Any] = ()
        self._since: dict[Any, tuple[object, float]] = {}
        """What a connection waits for, and since when it does."""
        self._next_look: asyncio.TimerHandle | None = None

    def start(self, connections: Collection[Any]) -> None:
        """Watch `connections`, which are of the gateway's protocol."""
        self._connections = connections
        self._look()

    def stop(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()

    def _look(self) -> None:
        now = time.monotonic()
        waiting: dict[Any, tuple[object, float]] = {}
        for connection in list(self._connections):
            awaited = _what_is_awaited(connection)
            if awaited is None:
                continue
            before, since = self._since.get(connection, (None, now))
            if before is not awaited:
                since = now
            if now - since < _patience_seconds(awaited):
                waiting[connection] = (awaited, since)
            elif awaited is _A_READER:
                connection.transport.abort()  # to close it would wait for the reader, too
            else:
                connection.transport.close()
        self._since = waiting
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(LOOK_EVERY_SECONDS, self._look)


def _what_is_awaited(connection: Any) -> object | None:
    """What its client owes a connection: a head is known by its scope, which is its own."""
    if connection.flow.write_paused:
        return _A_READER
    # Idle, which uvicorn ends; busy with a read that was not parsed; or it is we who do not read.
    if (
        connection.timeout_keep_alive_task is not None
        or connection.is_reading
        or connection.flow.read_paused
    ):
        return None
    served = connection.served
    if served is not None and not served.response_complete:
        return None
    # No head yet, or a part of one; or bytes that begin no request, which stop the timer of an
    # idle connection, and it is not set again.
    return connection.scope or _A_FIRST_BYTE


def _patience_seconds(awaited: object) -> float:
    return UNREAD_TIMEOUT_SECONDS if awaited is _A_READER else HEAD_TIMEOUT_SECONDS
