"""Decides what is refused as too much: the one place that the middleware and `submit` ask.

A process that accepts every request answers none in time. It is overloaded when it has many
requests in progress and its thread has no time left, or comes late: either alone may be a wait for
the workers, which costs nothing, or a moment's work. When the workers are far behind, commands are
refused and reads are served.
"""

import asyncio
import itertools
import time
from collections.abc import Callable

from gateway.http.problems import ProblemError
from gateway.telemetry import Metrics

MAX_IN_PROGRESS = 1_000
"""Requests that a busy process works on at a time: a quarter of a second's work."""
MAX_BUSY_SHARE = 0.85
"""The share of its time that the loop's thread may compute without refusing anything."""
MAX_LAG_SECONDS = 0.02
"""How late the loop may run its timers without refusing anything."""
MAX_IN_FLIGHT_COMMANDS = 5_000
"""Commands that are queued for the broker or not yet answered by a worker: a few seconds' work.
A command behind these would be decided too late, and an unbounded backlog is never worked off."""
MIN_REFUSALS_PER_SECOND, MAX_REFUSALS_PER_SECOND = 200.0, 5_000.0
"""A refusal costs about a third of a command. Without a bound, clients that retry at once, against
Retry-After, would leave the process no time for anything but refusals."""
SLOW_DOWN, SPEED_UP = 0.9, 1.02
"""By how much each probe interval changes the pace of refusals: down while the thread has no time
left."""
PROBE_INTERVAL_SECONDS = 0.02
AVERAGE_SECONDS = 0.1
"""How far back the average of the busy share looks."""
RETRY_AFTER_SECONDS = (1, 2, 3, 4, 5)
"""Used in turn, so that clients that are refused together do not retry together."""


class Overload:
    """Knows whether the process and the workers keep up."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        in_flight: Callable[[], int],
        idle: Callable[[], int],
    ) -> None:
        """Measure by what these functions return.

        `in_flight`: commands that no worker has answered. `idle`: requests that only wait for an
        outcome.
        """
        self._in_flight = in_flight
        self._idle = idle
        self._refused = metrics.shed
        self._seconds = itertools.cycle(RETRY_AFTER_SECONDS)
        self.in_progress = 0
        """Requests that the app is serving; the middleware counts them."""
        self.lag_seconds = 0.0
        self.busy_share = 0.0
        """The share of its time that the loop's thread computed lately."""
        self.refusals_per_second = MAX_REFUSALS_PER_SECOND
        """How many the thread has time for."""
        self._due = 0.0
        self._probed_at = 0.0
        self._computed_seconds = 0.0
        self._next_probe: asyncio.TimerHandle | None = None
        metrics.loop_lag.set_function(lambda: self.lag_seconds)

    @property
    def has_no_time(self) -> bool:
        """Whether the loop's thread computes all the time, or runs late."""
        return self.busy_share > MAX_BUSY_SHARE or self.lag_seconds > MAX_LAG_SECONDS

    @property
    def is_process_overloaded(self) -> bool:
        """Whether this process does not keep up."""
        return (
            self.in_progress >= MAX_IN_PROGRESS
            and self.has_no_time
            and self.in_progress - self._idle() >= MAX_IN_PROGRESS
        )

    @property
    def is_backlog_full(self) -> bool:
        """Whether the workers are too far behind for one more command."""
        return self._in_flight() >= MAX_IN_FLIGHT_COMMANDS

    def refuses_request(self, method: str, path: str) -> bool:
        """Tell whether a new request is refused before it is read."""
        # The outcome of an accepted command is always served: refusing it would waste the work.
        if not path.startswith("/v1/") or path.startswith("/v1/commands/"):
            return False
        if self.is_process_overloaded:
            return True
        is_command = method not in ("GET", "HEAD", "OPTIONS") and path != "/v1/tokens"
        return is_command and self.is_backlog_full

    def check_command(self, command_id: str) -> None:
        """Raise `overloaded` where the workers are too far behind for one more command.

        Exact, where the caller hands the command in before it awaits anything.
        """
        if self.is_backlog_full:
            headers = {"Retry-After": str(self.count_refusal())}
            raise ProblemError("overloaded", headers=headers, command_id=command_id)

    def count_refusal(self) -> int:
        """Count a refusal; return after how many seconds the client may retry."""
        self._refused.inc()
        return next(self._seconds)

    def start(self) -> None:
        """Measure the running loop until `stop`."""
        self._probed_at = self._due = time.monotonic()
        self._computed_seconds = time.thread_time()
        self._schedule_probe()

    def stop(self) -> None:
        if self._next_probe is not None:
            self._next_probe.cancel()

    def _probe(self) -> None:
        now, computed = time.monotonic(), time.thread_time()
        self.lag_seconds = now - self._due
        seconds = now - self._probed_at
        busy_share = (computed - self._computed_seconds) / seconds
        self.busy_share += min(1.0, seconds / AVERAGE_SECONDS) * (busy_share - self.busy_share)
        # By the time that has passed: a loop that is late probes seldom.
        change = (SLOW_DOWN if self.has_no_time else SPEED_UP) ** (seconds / PROBE_INTERVAL_SECONDS)
        pace = self.refusals_per_second * change
        self.refusals_per_second = min(MAX_REFUSALS_PER_SECOND, max(MIN_REFUSALS_PER_SECOND, pace))
        self._probed_at, self._computed_seconds = now, computed
        self._due = now + PROBE_INTERVAL_SECONDS
        self._schedule_probe()

    def _schedule_probe(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_probe = loop.call_later(PROBE_INTERVAL_SECONDS, self._probe)
