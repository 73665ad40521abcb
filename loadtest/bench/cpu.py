"""What a run costs each process in CPU, from /proc: steadier than rates on a shared machine."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
BROKER_PROGRAM = "beam.smp"


class CpuMeter:
    """Takes the CPU seconds of named processes, of a database's backends and of the broker."""

    def __init__(self, processes: Mapping[str, Sequence[int]], database: str) -> None:
        self._processes = processes
        self._database = database
        self._before: dict[int, float] = {}
        self.seconds: dict[str, float] = {}
        """By kind of process, once stopped."""

    def start(self) -> None:
        self._before = {pid: cpu for group in self._look().values() for pid, cpu in group.items()}

    def stop(self) -> None:
        """Take the difference; who has ended meanwhile is left out."""
        self.seconds = {
            name: sum(cpu - self._before.get(pid, 0.0) for pid, cpu in group.items())
            for name, group in self._look().items()
        }

    def _look(self) -> dict[str, dict[int, float]]:
        groups = {name: _cpu_of(pids) for name, pids in self._processes.items()}
        groups["postgres"] = _cpu_of(_backends_of(self._database))
        groups["rabbitmq"] = _cpu_of(_programs(BROKER_PROGRAM))
        return groups


def _cpu_of(pids: Sequence[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        with suppress(OSError):  # gone since
            # "pid (name) state …"; a name may hold spaces and brackets
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            found[pid] = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    return found


def _backends_of(database: str) -> list[int]:
    """Return the backends that serve a database: their titles name it."""
    found = []
    for pid in _all():
        with suppress(OSError):
            title = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
            if title.startswith("postgres:") and f" {database} " in title:
                found.append(pid)
    return found


def _programs(name: str) -> list[int]:
    found = []
    for pid in _all():
        with suppress(OSError):
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                found.append(pid)
    return found


def _all() -> list[int]:
    return [int(entry) for entry in os.listdir("/proc") if entry.isdecimal()]
