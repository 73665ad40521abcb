"""An event loop without I/O, whose clock jumps to the next timer."""

import asyncio
import heapq
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol, TypeVar

START = datetime(2024, 6, 1, 12, tzinfo=UTC)
"""The initial time: in the past, so that no ID is ahead of the real clock."""

T = TypeVar("T")


class Process(Protocol):
    """What is killed as a whole: all tasks that it started."""

    tasks: list["asyncio.Task[Any]"]


RUNNING: ContextVar[Process | None] = ContextVar("RUNNING", default=None)
"""The process that the code at hand belongs to."""


class NothingLeftError(Exception):
    """All tasks wait, and no timer is left: a deadlock."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Waiting takes no time; timers due at the same time run in the order of their creation."""

    _ready: deque[asyncio.Handle]
    _stopping: bool

    def __init__(self) -> None:
        super().__init__()
        self._seconds = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._count = itertools.count()

    def time(self) -> float:
        return self._seconds

    def now(self) -> datetime:
        """What the wall clock reads."""
        return START + timedelta(seconds=self._seconds)

    def call_later(  # type: ignore[override]  # asyncio's takes more
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._seconds + delay, callback, *args, context=context)

    def call_at(  # type: ignore[override]  # asyncio's takes more
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._count), timer))
        return timer

    def create_task(  # type: ignore[override]  # asyncio's takes more
        self, coro: Coroutine[Any, Any, T], **options: Any
    ) -> "asyncio.Task[T]":
        task = asyncio.Task(coro, loop=self, **options)
        if process := RUNNING.get():
            process.tasks.append(task)
        return task

    def _run_once(self) -> None:
        # The one of asyncio asks the operating system for news each time: half of a seed's time.
        ready = self._ready
        if not ready and not self._stopping:
            self._jump()
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _jump(self) -> None:
        """Go to the next time at which something is due."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise NothingLeftError
        self._seconds = timers[0][0]
        while timers and timers[0][0] <= self._seconds:
            self._ready.append(heapq.heappop(timers)[2])

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run `main` from the start of the clock to its end, and whatever it left running to its."""
    loop = VirtualLoop()
    try:
        result = loop.run_until_complete(main(loop))
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        if left:
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        return result
    finally:
        loop.close()
