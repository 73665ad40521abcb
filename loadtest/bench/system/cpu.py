"""Measures the CPU time of each process from /proc: steadier than rates on a shared machine."""

import os
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from loadtest.bench.system.processes import SystemProcesses

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class CpuMeter:
    """Measures the CPU seconds of named processes, of a database's backends and of the broker."""

    def __init__(self, processes: SystemProcesses) -> None:
        self._processes = processes
        self._started_at = 0.0
        self._before: dict[int, float] = {}
        self.seconds: dict[str, float] = {}
        """By kind of process, once stopped."""
        self.elapsed_seconds = 0.0
        """From start to stop, by the clock."""

    def start(self) -> None:
        self._started_at = time.monotonic()
        self._before = {pid: cpu for group in self._look().values() for pid, cpu in group.items()}

    def stop(self) -> None:
        """Take the difference; who has ended meanwhile is left out."""
        self.elapsed_seconds = time.monotonic() - self._started_at
        self.seconds = {
            name: sum(cpu - self._before.get(pid, 0.0) for pid, cpu in group.items())
            for name, group in self._look().items()
        }

    def _look(self) -> dict[str, dict[int, float]]:
        return {name: _cpu_of(pids) for name, pids in self._processes.pids().items()}


def _cpu_of(pids: Sequence[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        with suppress(OSError):  # gone since
            # "pid (name) state …"; a name may hold spaces and brackets
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return found
