"""Finds the processes to measure: those started for the bench, Postgres and RabbitMQ."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

BROKER_PROGRAM = "beam.smp"


@dataclass(frozen=True, slots=True)
class SystemProcesses:
    """The parts of the system, as far as they run on this machine."""

    started: Mapping[str, Sequence[int]]
    """By kind, such as `worker`."""
    database: str

    def pids(self) -> dict[str, Sequence[int]]:
        """Look anew: backends come and go."""
        return {
            **self.started,
            "postgres": _backends_of(self.database),
            "rabbitmq": _programs(BROKER_PROGRAM),
        }


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
