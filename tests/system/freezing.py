"""Freezes a server for a while: it keeps its connections and says nothing."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from dev.processes import descendants
from reliability.chaos.faults.processes import send


@contextmanager
def frozen(pid: int) -> Iterator[float]:
    """Stop a process with all that descends from it; yield the moment when all of it stood."""
    pids = [pid, *descendants(pid)]
    send(pids, signal.SIGSTOP)
    try:
        yield time.monotonic()
    finally:
        send(pids, signal.SIGCONT)


def kill_at_once(pid: int) -> float:
    """SIGKILL to a process and all that descends from it; return the moment when it was sent."""
    send([*descendants(pid), pid], signal.SIGKILL)
    return time.monotonic()
