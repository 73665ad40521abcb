"""Waits within a bound: for a process to become ready, for a failure to end, for a coroutine."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dev.processes.process import Process
from dev.servers.discovery import Unavailable

POLL_SECONDS = 0.1

Result = TypeVar("Result")


def wait_until(
    is_ready: Callable[[], bool], process: Process, limit_seconds: float, message: str
) -> None:
    """Wait until the process is ready. If it ends or takes too long, kill it.

    Raises `Unavailable` with `message`.
    """
    give_up_at = time.monotonic() + limit_seconds
    while not is_ready():
        if not process.running or time.monotonic() > give_up_at:
            process.kill()
            raise Unavailable(message)
        time.sleep(POLL_SECONDS)


def wait_while(failure: Callable[[], str | None], limit_seconds: float, message: str) -> None:
    """Wait until `failure` returns None. Raises `Unavailable` with `message` and the failure."""
    give_up_at = time.monotonic() + limit_seconds
    while reason := failure():
        if time.monotonic() > give_up_at:
            raise Unavailable(f"{message}: {reason}")
        time.sleep(POLL_SECONDS)


def run_blocking(coroutine: Coroutine[object, object, Result]) -> Result:
    """Run a coroutine to its end and block, even inside a running event loop."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, coroutine).result()
