"""Measures how long after a fault's end a command that was begun then succeeds."""

import asyncio
import statistics
import time
from dataclasses import dataclass

from chaos.record import Entry

WITHIN_SECONDS = 10.0
"""I14."""
GIVE_UP_SECONDS = 60.0
LOOK_EVERY_SECONDS = 0.05


@dataclass(slots=True)
class Recovery:
    """From the end of a fault to the first new success."""

    fault: str
    ended_at: float
    within_seconds: float
    seconds: float | None = None
    disturbed: bool = False
    """Another fault began before the success: what it took says nothing of this one."""


class Recoveries:
    def __init__(self) -> None:
        self.all: list[Recovery] = []
        self._open: list[Recovery] = []

    def fault_begins(self) -> None:
        for recovery in self._open:
            recovery.disturbed = True

    def fault_ends(self, fault: str, within_seconds: float = WITHIN_SECONDS) -> Recovery:
        recovery = Recovery(fault, time.monotonic(), within_seconds)
        self.all.append(recovery)
        self._open.append(recovery)
        return recovery

    def succeeded(self, entry: Entry) -> None:
        """Take note of a success: it ends the recoveries that began before its command did."""
        still_open = []
        for recovery in self._open:
            if entry.began_at >= recovery.ended_at:
                recovery.seconds = time.monotonic() - recovery.ended_at
            else:
                still_open.append(recovery)
        self._open = still_open

    async def settled(self, give_up_seconds: float = GIVE_UP_SECONDS) -> bool:
        """Wait until every fault has been recovered from; tell whether that came to pass."""
        give_up_at = time.monotonic() + give_up_seconds
        while self._open:
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        return True

    def too_slow(self) -> list[Recovery]:
        """I14: those that took too long though nothing else was broken, or never came."""
        return [
            recovery
            for recovery in self.all
            if recovery.seconds is None
            or (recovery.seconds > recovery.within_seconds and not recovery.disturbed)
        ]

    def figures(self) -> dict[str, dict[str, float]]:
        """Number, median and longest, in seconds, of the undisturbed, by kind of fault."""
        undisturbed: dict[str, list[float]] = {}
        for recovery in self.all:
            if recovery.seconds is not None and not recovery.disturbed:
                undisturbed.setdefault(recovery.fault, []).append(recovery.seconds)
        return {
            fault: {
                "number": len(seconds),
                "median": round(statistics.median(seconds), 3),
                "longest": round(max(seconds), 3),
            }
            for fault, seconds in sorted(undisturbed.items())
        }
