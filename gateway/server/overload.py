"""Decides which requests and commands are refused because the gateway or workers are overloaded.

The load shedding middleware asks before a request is read, `submit` before a command is published.
A process that accepts every request answers none in time. It counts as overloaded if it has many
requests in progress and its event loop is saturated. Either alone is harmless: requests that wait
for workers cost nothing, and a short burst of work is soon done. If the workers are far behind,
commands are refused and reads are served.
"""

import asyncio
import itertools
import time
from collections.abc import Callable

from gateway.http.problems import ProblemError
from gateway.telemetry import Metrics

MAX_IN_PROGRESS = 1_000
"""Requests that a saturated process works on at a time: about 250 ms of work."""
MAX_BUSY_SHARE = 0.85
"""CPU share of the event loop's thread above which the loop counts as saturated."""
MAX_LAG_SECONDS = 0.02
"""Timer lag above which the event loop counts as saturated."""
MAX_IN_FLIGHT_COMMANDS = 5_000
"""Commands that are queued for the broker or not yet answered by a worker: a few seconds of work.
A command behind these would be decided too late, and an unbounded backlog would never clear."""
MIN_REFUSALS_PER_SECOND, MAX_REFUSALS_PER_SECOND = 200.0, 5_000.0
"""The rate at which clients that ignore `Retry-After` are refused. A refusal costs about a third of
a command: without a bound, they would keep the process busy with refusals alone."""
SLOW_DOWN, SPEED_UP = 0.9, 1.02
"""Factors by which each probe interval changes that rate: down while the event loop is
saturated, else up."""
PROBE_INTERVAL_SECONDS = 0.02
AVERAGE_SECONDS = 0.1
"""The window of the moving average of the busy share."""
RETRY_AFTER_CHOICES_SECONDS = (1, 2, 3, 4, 5)
"""Used in rotation, so that clients that are refused together do not retry together."""


class Overload:
    """Measures whether the process and the workers keep up."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        in_flight: Callable[[], int],
        idle: Callable[[], int],
    ) -> None:
        """`in_flight` returns how many commands no worker has answered yet; `idle`, how many
        requests only wait for an outcome.
        """
        self._in_flight = in_flight
        self._idle = idle
        self._refused = metrics.shed
        self._seconds = itertools.cycle(RETRY_AFTER_CHOICES_SECONDS)
        self.in_progress = 0
        """Requests that the app is serving; the middleware counts them."""
        self.lag_seconds = 0.0
        self.busy_share = 0.0
        """Moving average of the CPU share of the event loop's thread."""
        self.refusals_per_second = MAX_REFUSALS_PER_SECOND
        """The current rate limit for refusals of clients that retry too early."""
        self._due = 0.0
        self._probed_at = 0.0
        self._computed_seconds = 0.0
        self._next_probe: asyncio.TimerHandle | None = None
        metrics.loop_lag.set_function(lambda: self.lag_seconds)

    @property
    def is_loop_saturated(self) -> bool:
        """Whether the event loop's thread computes nearly all the time, or runs its timers late."""
        return self.busy_share > MAX_BUSY_SHARE or self.lag_seconds > MAX_LAG_SECONDS

    @property
    def is_process_overloaded(self) -> bool:
        """Whether this process does not keep up."""
        return (
            self.in_progress >= MAX_IN_PROGRESS
            and self.is_loop_saturated
            and self.in_progress - self._idle() >= MAX_IN_PROGRESS
        )

    @property
    def is_backlog_full(self) -> bool:
        """Whether the workers are too far behind for one more command."""
        return self._in_flight() >= MAX_IN_FLIGHT_COMMANDS

    def refuses_request(self, method: str, path: str) -> bool:
        """Return whether a new request is refused before it is read."""
        # The outcome of an accepted command is always served: refusing it would waste the work.
        if not path.startswith("/v1/") or path.startswith("/v1/commands/"):
            return False
        if self.is_process_overloaded:
            return True
        is_command = method not in ("GET", "HEAD", "OPTIONS") and path != "/v1/tokens"
        return is_command and self.is_backlog_full

    def check_command(self, command_id: str) -> None:
        """Raise `overloaded` if the workers are too far behind for one more command.

        The bound is exact if the caller submits the command before it awaits anything.
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
        # Scaled by the elapsed time: a late loop probes less often.
        factor = SLOW_DOWN if self.is_loop_saturated else SPEED_UP
        change = factor ** (seconds / PROBE_INTERVAL_SECONDS)
        rate = self.refusals_per_second * change
        self.refusals_per_second = min(MAX_REFUSALS_PER_SECOND, max(MIN_REFUSALS_PER_SECOND, rate))
        self._probed_at, self._computed_seconds = now, computed
        self._due = now + PROBE_INTERVAL_SECONDS
        self._schedule_probe()

    def _schedule_probe(self) -> None:
        loop = asyncio.get_running_loop()
        self._next_probe = loop.call_later(PROBE_INTERVAL_SECONDS, self._probe)
