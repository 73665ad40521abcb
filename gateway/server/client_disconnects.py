"""Ends a wait when its client has left: otherwise up to 30 seconds of work for no client.

ASGI tells of a disconnect only where `receive` is awaited, which takes a task. Most outcomes come
within milliseconds, so callers start to watch only when a request has waited a while.
"""

import asyncio
from types import TracebackType

from starlette.types import Receive


class ClientDisconnectedError(Exception):
    """The client closed its connection while its request waited."""


def ending_on_disconnect(receive: Receive) -> "_DisconnectWatch":
    """Cancel the `with` block when the client leaves. Raises `ClientDisconnectedError` from it.

    The body of the request must have been read: what is left of it is lost.
    """
    return _DisconnectWatch(receive)


class _DisconnectWatch:
    """Cancels the task that entered it when the client leaves.

    A class and not a generator: every awaited command makes one, and few enter it.
    """

    __slots__ = ("_has_left", "_receive", "_task", "_waiter")

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._waiter: asyncio.Task[object] | None = None
        self._task: asyncio.Task[None] | None = None
        self._has_left = False

    def __enter__(self) -> None:
        self._waiter = asyncio.current_task()
        self._task = asyncio.create_task(self._await_disconnect())

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._task is not None:
            self._task.cancel()
        if kind is asyncio.CancelledError and self._is_only_reason():
            raise ClientDisconnectedError from None

    def _is_only_reason(self) -> bool:
        """Tell whether the waiter was cancelled because its client left, and for nothing else."""
        return self._has_left and self._waiter is not None and self._waiter.uncancel() == 0

    async def _await_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._has_left = True
        if self._waiter is not None:
            self._waiter.cancel()
