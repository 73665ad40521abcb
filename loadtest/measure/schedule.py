"""When requests are due: at a fixed rate whatever the server does, or as soon as one may leave."""

import math


class Schedule:
    """Hands out due times, in order.

    With a rate it is an open loop: the n-th request is due n gaps after the start, sent or
    not, so that a slow server cannot slow the arrivals, and who counts latency from the due
    time counts the time in which it kept them waiting. Without one, a request is due whenever
    the sender can send.
    """

    def __init__(self, rate_per_second: float | None, start: float) -> None:
        self._gap_seconds = 1 / rate_per_second if rate_per_second else None
        self._start = start
        self._end = math.inf
        self.taken = 0

    def end(self, now: float) -> None:
        """Let nothing be due from now on; what was due before still is."""
        self._end = min(self._end, now)

    def late(self, now: float) -> int:
        """Return how many requests are due and not taken."""
        if self._gap_seconds is None:
            return 0
        due = math.floor((min(now, self._end) - self._start) / self._gap_seconds) + 1
        last = self._start + (due - 1) * self._gap_seconds
        # By the same sum as in `take`, for divided and multiplied floats differ.
        if last > now or last >= self._end:
            due -= 1
        return max(0, due - self.taken)

    def take(self, now: float) -> float | None:
        """Return when the next request was due, if it is by now, and go on to the one after."""
        due = self.next_due(now)
        if due > now or due >= self._end:
            return None
        self.taken += 1
        return due

    def next_due(self, now: float) -> float:
        """Return when the next request is due; without a rate that is at once."""
        if self._gap_seconds is None:
            return now
        return self._start + self.taken * self._gap_seconds

    @property
    def has_ended(self) -> bool:
        """Tell whether nothing more will be due than is by now."""
        return self._end < math.inf
