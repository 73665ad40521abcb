"""Closes connections on which a request begins and does not come to the end of its head.

uvicorn waits for ever for that, and for a first request too. A look at all connections now and
then costs nothing a request, which a timer would.
"""

import asyncio
import time
from collections.abc import Collection
from typing import Any

HEAD_TIMEOUT_SECONDS = 8.0
LOOK_EVERY_SECONDS = 1.0


class SlowHeads:
    """Looks at the connections of a server again and again."""

    def __init__(self) -> None:
        self._connections: Collection[Any] = ()
        self._since: dict[Any, tuple[object, float]] = {}
        """Which request a connection waits for, and since when it does."""
        self._next_look: asyncio.TimerHandle | None = None

    def start(self, connections: Collection[Any]) -> None:
        """Watch `connections`, which are uvicorn's protocols."""
        self._connections = connections
        self._look()

    def stop(self) -> None:
        if self._next_look is not None:
            self._next_look.cancel()

    def _look(self) -> None:
        now = time.monotonic()
        waiting: dict[Any, tuple[object, float]] = {}
        for connection in list(self._connections):
            if not _lacks_a_head(connection):
                continue
            request, since = self._since.get(connection, (None, now))
            if request is not connection.scope:
                since = now
            if now - since >= HEAD_TIMEOUT_SECONDS:
                connection.transport.close()
            else:
                waiting[connection] = (connection.scope, since)
        self._since = waiting
        loop = asyncio.get_running_loop()
        self._next_look = loop.call_later(LOOK_EVERY_SECONDS, self._look)


def _lacks_a_head(connection: Any) -> bool:
    # Idle, which uvicorn ends; or busy with a read that was not parsed.
    if connection.timeout_keep_alive_task is not None or connection.is_reading:
        return False
    cycle = connection.cycle
    if cycle is None or cycle.scope is not connection.scope:
        return True
    # Bytes that begin no request stop the timer of an idle connection, and it is not set again.
    completed: bool = cycle.response_complete
    return completed
