"""What happened in each second of a run, and over the part of it that counts."""

from dataclasses import dataclass

from loadtest.measure.histogram import Histogram

EARLY_SECONDS = 0.01
"""A timer may fire a little before its time."""


@dataclass(frozen=True, slots=True)
class Second:
    """One second of a run: what was answered in it, and what was still unanswered at its end."""

    second: int
    rate: float
    refused: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    backlog: int


class Timeline:
    """Grows by one small row a second, however much is answered."""

    def __init__(self, warm_up_seconds: float) -> None:
        self.seconds: list[Second] = []
        self.latency = Histogram()
        """Of all answers after the warm-up."""
        self.accepted = Histogram()
        """How long a 202 took, where outcomes are polled for."""
        self.counted = 0
        """Answers within the measured time: behind the warm-up, before the last was sent."""
        self.measured_seconds = 0.0
        self._warm_up_seconds = warm_up_seconds
        self._measuring = warm_up_seconds <= 0
        self._this_second = Histogram()
        self._refused = 0
        self._ended_at = 0.0

    @property
    def rate(self) -> float:
        """Answers a second over the measured time."""
        return self.counted / self.measured_seconds if self.measured_seconds else 0.0

    def answered(self, latency_seconds: float, times: int = 1) -> None:
        self._this_second.add(latency_seconds, times)

    def refused(self, times: int = 1) -> None:
        self._refused += times

    def end_second(self, elapsed_seconds: float, backlog: int, *, sending: bool) -> Second:
        """Close the current second, `elapsed_seconds` after the start, and return it."""
        answers = self._this_second
        row = Second(
            second=len(self.seconds) + 1,
            rate=round(answers.count / max(elapsed_seconds - self._ended_at, 1e-9), 1),
            refused=self._refused,
            p50_ms=_ms(answers, 50),
            p95_ms=_ms(answers, 95),
            p99_ms=_ms(answers, 99),
            backlog=backlog,
        )
        if self._measuring:
            self.latency.merge(answers)
            if sending:
                self.counted += answers.count
                self.measured_seconds += elapsed_seconds - self._ended_at
        self._measuring = elapsed_seconds >= self._warm_up_seconds - EARLY_SECONDS
        self._this_second, self._refused, self._ended_at = Histogram(), 0, elapsed_seconds
        self.seconds.append(row)
        return row


def _ms(histogram: Histogram, percent: float) -> float | None:
    seconds = histogram.percentile(percent)
    return None if seconds is None else float(f"{seconds * 1000:.4g}")
