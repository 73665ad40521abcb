"""Ends or stops a process at the n-th passing of a crash point.

The process reads from a named pipe which crash point is armed. The product pays nothing for this:
the crash points are wrapped around its functions from outside.
"""

import os
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

PIPE_VARIABLE = "HOLDFAST_CHAOS_CRASH_TRIGGER"

Point = Literal[
    "before lock",
    "after lock",
    "before save",
    "after save",
    "before commit",
    "commit sent",
    "after commit",
    "before reply",
    "after reply",
    "before acknowledge",
    "after acknowledge",
]
GatewayPoint = Literal["before publish", "published", "after confirm"]
Action = Literal["kill", "stop"]
SIGNALS: dict[Action, signal.Signals] = {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class CrashPoint:
    """Where a process is to be killed or stopped."""

    point: Point | GatewayPoint
    passing: int = 1
    """At which passing of the point, counted from now."""
    action: Action = "kill"

    def arm(self, pipe: Path) -> bool:
        """Send it to the process at the other end; return whether there is one."""
        try:
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            os.write(descriptor, f"{self.action}:{self.passing}:{self.point}\n".encode())
        finally:
            os.close(descriptor)
        return True


class CrashTrigger:
    """Counts the passings of the armed crash point."""

    def __init__(self) -> None:
        self._point = ""
        self._left = 0
        self._action: Action = "kill"

    def listen(self, pipe: str) -> None:
        """Take crash points from a named pipe, for as long as the process lives."""
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def arm(self, crash_point: CrashPoint) -> None:
        self._left, self._action = crash_point.passing, crash_point.action
        self._point = crash_point.point

    def is_armed_at(self, point: str) -> bool:
        return self._point == point

    def passes(self, point: Point | GatewayPoint) -> None:
        """Send the signal if this is the n-th passing of the armed point."""
        if self._point != point:
            return
        self._left -= 1
        if self._left <= 0:
            self._point = ""
            os.kill(os.getpid(), SIGNALS[self._action])

    def around(
        self,
        before: Point | None,
        function: Callable[Parameters, Awaitable[Result]],
        after: Point | None,
    ) -> Callable[Parameters, Awaitable[Result]]:
        """Wrap a coroutine function in crash points."""

        @wraps(function)
        async def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Result:
            if before:
                self.passes(before)
            result = await function(*args, **kwargs)
            if after:
                self.passes(after)
            return result

        return wrapped

    def _read(self, pipe: str) -> None:
        # Opened for reading and writing, so that it does not end when a writer closes it.
        with open(os.open(pipe, os.O_RDWR)) as lines:
            for line in lines:
                action, passing, point = line.rstrip("\n").split(":")
                self.arm(CrashPoint(_any(point), int(passing), _any(action)))


def run_with_crash_points(wrap: Callable[[CrashTrigger], None], main: Callable[[], object]) -> None:
    """Run the main function of a process whose functions `wrap` has put crash points around."""
    trigger = CrashTrigger()
    wrap(trigger)
    if pipe := os.environ.get(PIPE_VARIABLE):
        trigger.listen(pipe)
    main()


def _any(text: str) -> Any:
    return text
