"""The memory of each part of the system, from /proc."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from loadtest.bench.system.processes import SystemProcesses

BYTES_A_KB = 1_024
BYTES_A_MB = 1_000_000


@dataclass(frozen=True, slots=True)
class Footprint:
    """The sum over the processes of one kind."""

    rss_mb: float
    pss_mb: float | None
    """What several processes share is shared out among them: Postgres's buffers count once.
    None where /proc does not let us see it."""


def footprints(processes: SystemProcesses) -> dict[str, Footprint]:
    """Return what each kind of process takes now."""
    return {name: _sum(pids) for name, pids in processes.pids().items()}


def _sum(pids: Sequence[int]) -> Footprint:
    rss, pss = 0.0, 0.0
    hidden = False
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):  # gone since
            rss += _mb(Path(f"/proc/{pid}/status"), "VmRSS:")
            try:
                pss += _mb(Path(f"/proc/{pid}/smaps_rollup"), "Pss:")
            except PermissionError:
                hidden = True
    return Footprint(round(rss, 1), None if hidden else round(pss, 1))


def _mb(path: Path, name: str) -> float:
    """Return a figure of a file with lines such as `VmRSS:   1234 kB`."""
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * BYTES_A_KB / BYTES_A_MB
    return 0.0
