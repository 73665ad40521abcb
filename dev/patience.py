"""Waiting for something that was started, no longer than a bound."""

import time
from collections.abc import Callable

from dev.processes import Process
from dev.search import Unavailable

LOOK_EVERY_SECONDS = 0.1


def wait_until(
    is_ready: Callable[[], bool], process: Process, limit_seconds: float, complaint: str
) -> None:
    """Waits only while the process is alive, and leaves none behind that did not get ready."""
    give_up_at = time.monotonic() + limit_seconds
    while not is_ready():
        if not process.running or time.monotonic() > give_up_at:
            process.kill()
            raise Unavailable(complaint)
        time.sleep(LOOK_EVERY_SECONDS)


def wait_while(failure: Callable[[], str | None], limit_seconds: float, complaint: str) -> None:
    give_up_at = time.monotonic() + limit_seconds
    while reason := failure():
        if time.monotonic() > give_up_at:
            raise Unavailable(f"{complaint}: {reason}")
        time.sleep(LOOK_EVERY_SECONDS)
