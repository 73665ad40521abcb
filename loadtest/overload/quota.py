"""Lets processes run for a part of the time only, as a quota of CPU would.

If the gateway is the bottleneck, a load generator on the same machine cannot send ten times its
peak. A quota makes the workers the bottleneck, as if many gateways were in front of them.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from dev.processes.process import Process

PERIOD_SECONDS = 0.05
POLL_SECONDS = 0.001


@contextmanager
def quota(pids: Sequence[int], share: float) -> Iterator[None]:
    """Keep `pids` to this share of the time; with 1, leave them alone."""
    if share == 1:
        yield
        return
    # A separate process: this one is too busy to keep time.
    command = [sys.executable, "-m", "loadtest.overload.quota", str(share), *map(str, pids)]
    keeper = Process(command, environment=os.environ)
    try:
        yield
    finally:
        keeper.stop()
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def _keep(share: float, pids: Sequence[int]) -> None:
    """Stop each of `pids` for the rest of a period in which it has used up its time of CPU."""
    budgets = dict.fromkeys(pids, 0.0)
    spent = {pid: _cpu_seconds(pid) for pid in pids}
    with suppress(ProcessLookupError, OSError):
        while True:
            ends_at = time.monotonic() + PERIOD_SECONDS
            for pid in pids:
                # Nothing is saved up, but what was overdrawn is paid back.
                budgets[pid] = min(budgets[pid], 0.0) + share * PERIOD_SECONDS
                if budgets[pid] > 0:
                    os.kill(pid, signal.SIGCONT)
            while time.monotonic() < ends_at:
                time.sleep(POLL_SECONDS)
                for pid in pids:
                    now = _cpu_seconds(pid)
                    budgets[pid] -= now - spent[pid]
                    spent[pid] = now
                    if budgets[pid] <= 0:
                        os.kill(pid, signal.SIGSTOP)


def _cpu_seconds(pid: int) -> float:
    """Read the CPU-time clock of a process, whose ID Linux makes from the PID's complement."""
    return time.clock_gettime((~pid << 3) | 2)


if __name__ == "__main__":
    _keep(float(sys.argv[1]), [int(pid) for pid in sys.argv[2:]])
