"""Prints the progress of a run, a line at a time."""

import sys
import time

from loadtest.measure.timeline import Second
from loadtest.report.figures import milliseconds

STEP_EVERY_SECONDS = 1.0


def say(line: str) -> None:
    """Print a line and flush it."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Progress:
    """Lines for the steps of the preparation, and one for each second of a run."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self._said_at = 0.0

    def say(self, line: str) -> None:
        if not self._quiet:
            say(line)

    def step(self, what: str, done: int, of: int) -> None:
        """Print the progress of a step: once a second, and at its end."""
        now = time.monotonic()
        if done == of or now - self._said_at >= STEP_EVERY_SECONDS:
            self._said_at = now
            self.say(f"{what}: {done:,} of {of:,}")

    def second(self, row: Second) -> None:
        refused = f"   refused {row.refused:,}" if row.refused else ""
        self.say(
            f"{row.second:>4} s  {row.rate:>9,.0f}/s   p50 {milliseconds(row.p50_ms):>8}"
            f"   p99 {milliseconds(row.p99_ms):>8}   backlog {row.backlog:>7,}{refused}"
        )
