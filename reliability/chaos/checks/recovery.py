"""Measures how long after a fault's end a command that was begun then succeeds."""

import asyncio
import statistics
import time
from dataclasses import dataclass

from reliability.chaos.checks.record import Entry

WITHIN_SECONDS = 10.0
"""I14."""
GIVE_UP_SECONDS = 60.0
POLL_SECONDS = 0.05


@dataclass(slots=True)
class Recovery:
    """From the end of a fault to the first new success."""

    fault: str
    ended_at: float
    within_seconds: float
    """Raised to the most that any fault in between is allowed."""
    seconds: float | None = None
    disturbed: bool = False
    """Another fault began before the success, so the recovery time is not that of this fault."""
    calm_since: float | None = None
    """The end of the last fault; None during a fault."""
    calm_seconds: float = 0.0
    """The longest wait for a success without a fault in progress, which I14 bounds."""

    def calm_ends(self, now: float) -> None:
        if self.calm_since is not None:
            self.calm_seconds = max(self.calm_seconds, now - self.calm_since)
        self.calm_since = None


class Recoveries:
    def __init__(self) -> None:
        self.all: list[Recovery] = []
        self._open: list[Recovery] = []

    def fault_begins(self) -> None:
        for recovery in self._open:
            recovery.disturbed = True
            recovery.calm_ends(time.monotonic())

    def fault_ends(self, fault: str, within_seconds: float = WITHIN_SECONDS) -> Recovery:
        now = time.monotonic()
        for recovery in self._open:
            recovery.calm_since = now
            recovery.within_seconds = max(recovery.within_seconds, within_seconds)
        recovery = Recovery(fault, now, within_seconds, calm_since=now)
        self.all.append(recovery)
        self._open.append(recovery)
        return recovery

    def fault_hit_no_target(self) -> None:
        """There is nothing to recover from but what was broken before."""
        for recovery in self._open:
            recovery.calm_since = time.monotonic()

    def succeeded(self, entry: Entry) -> None:
        """Take note of a success: it ends the recoveries that began before its command did."""
        now = time.monotonic()
        still_open = []
        for recovery in self._open:
            if entry.began_at >= recovery.ended_at:
                recovery.calm_ends(now)
                recovery.seconds = now - recovery.ended_at
            else:
                still_open.append(recovery)
        self._open = still_open

    async def settled(self, give_up_seconds: float = GIVE_UP_SECONDS) -> bool:
        """Wait until the system has recovered from every fault; return whether it has."""
        give_up_at = time.monotonic() + give_up_seconds
        while self._open:
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    def too_slow(self) -> list[Recovery]:
        """I14: those that took too long while nothing was being broken, or never came."""
        return [
            recovery
            for recovery in self.all
            if recovery.seconds is None or recovery.calm_seconds > recovery.within_seconds
        ]

    def figures(self) -> dict[str, dict[str, float]]:
        """By kind of fault: number, median and longest, in seconds, of the undisturbed.

        And how many were disturbed, which is how many the others leave out.
        """
        by_fault: dict[str, list[Recovery]] = {}
        for recovery in self.all:
            by_fault.setdefault(recovery.fault, []).append(recovery)
        return {fault: _figures(recoveries) for fault, recoveries in sorted(by_fault.items())}


def _figures(recoveries: list[Recovery]) -> dict[str, float]:
    seconds = [
        recovery.seconds
        for recovery in recoveries
        if recovery.seconds is not None and not recovery.disturbed
    ]
    disturbed = sum(recovery.disturbed for recovery in recoveries)
    figures: dict[str, float] = {"number": len(seconds), "disturbed": disturbed}
    if seconds:
        figures["median"] = round(statistics.median(seconds), 3)
        figures["longest"] = round(max(seconds), 3)
    return figures
