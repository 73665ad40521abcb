"""Counts of responses: served, shed, or unknown."""

from dataclasses import dataclass, field

from loadtest.measure.histogram import Histogram

MAX_PENDING_KEPT = 1_000_000
MAX_EXAMPLES = 5


@dataclass(slots=True)
class Tally:
    """The counts of a second, a phase or a whole run."""

    due: int = 0
    sent: int = 0
    succeeded: int = 0
    refused: int = 0
    """Decided by a worker, which did not grant the tickets."""
    pending: int = 0
    """Accepted with 202: the outcome is not known yet."""
    shed: int = 0
    """503 or 429 with Retry-After: not accepted."""
    unknown: int = 0
    """No response, or one that leaves the outcome open."""
    served_times: Histogram = field(default_factory=Histogram)
    shed_times: Histogram = field(default_factory=Histogram)

    @property
    def answered(self) -> int:
        return self.succeeded + self.refused + self.pending + self.shed + self.unknown

    @property
    def decided(self) -> int:
        return self.succeeded + self.refused

    def add(self, other: "Tally") -> None:
        for name in ("due", "sent", "succeeded", "refused", "pending", "shed", "unknown"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.served_times.merge(other.served_times)
        self.shed_times.merge(other.shed_times)


@dataclass(slots=True)
class Findings:
    """Faults, and the commands whose outcomes are read at the end."""

    faults: dict[str, int] = field(default_factory=dict)
    examples: list[str] = field(default_factory=list)
    pending: list[tuple[str, int]] = field(default_factory=list)
    """Command IDs of 202s, and the number of the buyer."""

    def fault(self, what: str, example: bytes) -> None:
        self.faults[what] = self.faults.get(what, 0) + 1
        if len(self.examples) < MAX_EXAMPLES:
            self.examples.append(f"{what}: {example[:300].decode(errors='replace')}")
