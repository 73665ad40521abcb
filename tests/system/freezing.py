"""Freezes a server for a while: it keeps its connections and does not answer."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dev.processes.process import descendants
from reliability.chaos.faults.processes import send


@contextmanager
def frozen(pid: int) -> Iterator[float]:
    """Stop a process with its descendants; yield the time when all of them were stopped."""
    pids = [pid, *descendants(pid)]
    send(pids, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        send(pids, signal.SIGCONT)


def kill_at_once(pid: int) -> float:
    """Send SIGKILL to a process and its descendants; return the time of sending."""
    send([*descendants(pid), pid], signal.SIGKILL)
    return time.monotonic()
