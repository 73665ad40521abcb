"""Counts durations in buckets that each are 2% wider than the one before."""

import math

GROWTH = 1.02
MIN_SECONDS = 1e-6
MAX_SECONDS = 7_200.0
"""Shorter and longer durations count as these."""

_SCALE = 1 / math.log(GROWTH)
_BUCKETS = int(math.log(MAX_SECONDS / MIN_SECONDS) * _SCALE) + 2


class Histogram:
    """Any number of durations in constant memory; a percentile is off by 1% at most."""

    __slots__ = ("_buckets", "count", "max_seconds", "total_seconds")

    def __init__(self) -> None:
        self._buckets = [0] * _BUCKETS
        self.count = 0
        self.total_seconds = 0.0
        self.max_seconds = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration, as many `times` as it was met."""
        seconds = min(max(seconds, MIN_SECONDS), MAX_SECONDS)
        self._buckets[int(math.log(seconds / MIN_SECONDS) * _SCALE)] += times
        self.count += times
        self.total_seconds += seconds * times
        self.max_seconds = max(self.max_seconds, seconds)

    def percentile(self, percent: float) -> float | None:
        """Return the duration in seconds that `percent` of all do not exceed; None of nothing."""
        if self.count == 0:
            return None
        wanted = max(1, math.ceil(self.count * percent / 100))
        seen = 0
        for index, count in enumerate(self._buckets):
            seen += count
            if seen >= wanted:
                return min(MIN_SECONDS * math.pow(GROWTH, index + 0.5), self.max_seconds)
        raise AssertionError("the buckets hold less than was counted")

    def merge(self, other: "Histogram") -> None:
        """Count all that `other` has counted."""
        self._buckets = [
            mine + its for mine, its in zip(self._buckets, other._buckets, strict=True)
        ]
        self.count += other.count
        self.total_seconds += other.total_seconds
        self.max_seconds = max(self.max_seconds, other.max_seconds)

    def milliseconds(self) -> dict[str, float] | None:
        """Summarise in milliseconds; None of nothing."""
        if self.count == 0:
            return None
        percentiles = {f"p{p:g}".replace(".", "_"): self.percentile(p) for p in (50, 90, 99, 99.9)}
        summary = {name: (value or 0) * 1000 for name, value in percentiles.items()}
        summary["max"] = self.max_seconds * 1000
        summary["mean"] = self.total_seconds / self.count * 1000
        return {name: float(f"{value:.4g}") for name, value in summary.items()}
