"""Ends a wait when its client has left: otherwise up to 30 seconds of work for no client.

ASGI tells of a disconnect only where `receive` is awaited, which takes a task. Most outcomes come
within milliseconds, so the task starts only for a request that has waited a while.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.types import Receive

WATCH_AFTER_SECONDS = 0.25


class ClientDisconnectedError(Exception):
    """The client closed its connection while its request waited."""


class _Watch:
    """Cancels the task that made it when its client leaves."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._waiter = asyncio.current_task()
        self._task: asyncio.Task[None] | None = None
        self.has_left = False
        self._timer = asyncio.get_running_loop().call_later(WATCH_AFTER_SECONDS, self._start)

    def stop(self) -> None:
        self._timer.cancel()
        if self._task is not None:
            self._task.cancel()

    def is_only_reason(self) -> bool:
        """Tell whether the waiter was cancelled for this and nothing else."""
        return self.has_left and self._waiter is not None and self._waiter.uncancel() == 0

    def _start(self) -> None:
        self._task = asyncio.create_task(self._await_disconnect())

    async def _await_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.has_left = True
        if self._waiter is not None:
            self._waiter.cancel()


@contextmanager
def ending_on_disconnect(receive: Receive) -> Iterator[None]:
    """Cancel the block when the client leaves. Raises `ClientDisconnectedError` from it.

    The body of the request must have been read: what is left of it is lost.
    """
    watch = _Watch(receive)
    try:
        yield
    except asyncio.CancelledError:
        if watch.is_only_reason():
            raise ClientDisconnectedError from None
        raise
    finally:
        watch.stop()
