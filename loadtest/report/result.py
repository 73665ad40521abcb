"""What a run has shown, as data: the JSON beside the report, and what the report is made of."""

import os
import platform
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.checks.balance import Verdict
from loadtest.measure.counters import Counters
from loadtest.measure.sales import Sales
from loadtest.measure.timeline import Second, Timeline
from loadtest.runner import Effort


@dataclass(frozen=True, slots=True)
class Result:
    """Everything that is known of a run."""

    title: str
    settings: Mapping[str, str | int | float | bool | None]
    finished_at: str
    rate: float
    """Answers a second over the measured time."""
    latency_ms: dict[str, float] | None
    accepted_ms: dict[str, float] | None
    """How long a 202 took, where outcomes were polled for."""
    asked: int
    answered: int
    succeeded: int
    refusals: dict[str, int]
    repeats: int
    tries_again: int
    not_accepted: int
    not_sent: int
    """Due by the schedule, and never sent: the system fell too far behind."""
    own_cpu_us_per_command: float
    """What the load itself cost: it may share the machine with what it measures."""
    books: Verdict | None
    """None where nothing was bought."""
    timeline: list[Second]
    sales: Sales = field(default_factory=Sales)
    """According to the responses."""
    machine: dict[str, str] = field(default_factory=lambda: machine())

    @property
    def passed(self) -> bool:
        return self.books is None or self.books.balanced

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"passed": self.passed}


def summarise(
    title: str,
    settings: Mapping[str, str | int | float | bool | None],
    counters: Counters,
    timeline: Timeline,
    effort: Effort,
    books: Verdict | None,
) -> Result:
    """Put the result of a run together."""
    return Result(
        title=title,
        settings=settings,
        finished_at=datetime.now(UTC).isoformat(timespec="seconds"),
        rate=round(timeline.rate, 1),
        latency_ms=timeline.latency.milliseconds(),
        accepted_ms=timeline.accepted.milliseconds(),
        asked=counters.asked,
        answered=counters.answered,
        succeeded=counters.succeeded,
        refusals=dict(counters.refusals),
        repeats=counters.repeats,
        tries_again=counters.tries_again,
        not_accepted=counters.not_accepted,
        not_sent=counters.not_sent,
        own_cpu_us_per_command=round(effort.cpu_seconds * 1e6 / max(1, counters.answered), 1),
        books=books,
        timeline=timeline.seconds,
        sales=counters.sales,
    )


def machine() -> dict[str, str]:
    """Say what the load ran on."""
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory_bytes / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_version()}, {python_build(sysconfig.get_path('stdlib'))}",
    }


def python_build(library: str) -> str:
    """Say who built the Python whose standard library is in this folder.

    Builds of one version differ by a sixth in speed. The path is left out: it may contain a user
    name.
    """
    parts = Path(library).parts
    if {".pyenv", ".asdf", "mise", "uv"}.intersection(parts):
        return "a version manager's build"
    if library.startswith("/usr/local/"):
        return "the container image's build" if "PYTHON_SHA256" in os.environ else "a local build"
    if library.startswith("/usr/lib"):
        return "the distribution's build"
    return "another build"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
