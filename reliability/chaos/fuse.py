"""The fuse of a crash point: burns where it was laid, at the n-th passing, and stops the process.

A process that carries one reads from a named pipe where it is to burn; it costs nothing where
nobody carries it, for the crash points are wrapped around the code from outside.
"""

import os
import signal
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, Literal, ParamSpec, TypeVar

PIPE_VARIABLE = "HOLDFAST_CHAOS_FUSE"

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
class Charge:
    """Where a process is to end, or to stand still."""

    point: Point | GatewayPoint
    passing: int = 1
    """At which passing of the point, counted from now."""
    action: Action = "kill"

    def lay(self, pipe: Path) -> bool:
        """Send it to the process at the other end; tell whether there is one."""
        try:
            descriptor = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            os.write(descriptor, f"{self.action}:{self.passing}:{self.point}\n".encode())
        finally:
            os.close(descriptor)
        return True


class Fuse:
    """Counts the passings of the point that it was laid at."""

    def __init__(self) -> None:
        self._point = ""
        self._left = 0
        self._action: Action = "kill"

    def listen(self, pipe: str) -> None:
        """Take charges from a named pipe, for as long as the process lives."""
        threading.Thread(target=self._read, args=(pipe,), daemon=True).start()

    def lay(self, charge: Charge) -> None:
        self._left, self._action = charge.passing, charge.action
        self._point = charge.point

    def is_laid_at(self, point: str) -> bool:
        return self._point == point

    def passes(self, point: Point | GatewayPoint) -> None:
        """Burn if this is the place and the time."""
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
        # Opened for both, it never ends: charges come from many writers, one after the other.
        with open(os.open(pipe, os.O_RDWR)) as lines:
            for line in lines:
                action, passing, point = line.rstrip("\n").split(":")
                self.lay(Charge(_any(point), int(passing), _any(action)))


def _any(text: str) -> Any:
    return text
