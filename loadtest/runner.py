"""Lets a load run for its time, a line and a row each second, and waits for the last answers."""

import asyncio
import contextlib
import gc
import signal
import time
from dataclasses import dataclass
from time import perf_counter
from typing import Protocol

from loadtest.measure.counters import Counters
from loadtest.measure.timeline import Second, Timeline
from loadtest.progress import Progress

DRAIN_SECONDS = 30.0
"""How long the last answers are awaited after the last request."""
LOOK_EVERY_SECONDS = 0.02
GC_THRESHOLD = 100_000


class Load(Protocol):
    """What sends requests and takes answers."""

    counters: Counters
    timeline: Timeline

    def start(self, start: float) -> None:
        """Send from the loop's time `start` on, until `stop_sending`."""

    def stop_sending(self, now: float) -> None:
        """Let nothing be due from now on; what was due before is sent still."""

    def late(self, now: float) -> int:
        """Return how many commands are due and not sent."""

    def look_after(self, now: float) -> None:
        """Do what has to be done once a second. Raises when the load cannot go on."""


class Meter(Protocol):
    """Measures something else for as long as a load runs."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Effort:
    """What a run took, on the side of the load."""

    sending_seconds: float
    cpu_seconds: float


async def run(load: Load, seconds: float, progress: Progress, meter: Meter | None = None) -> Effort:
    """Send for `seconds`, or until Ctrl-C; then await what was due until then."""
    if meter is not None:
        meter.start()
    loop = asyncio.get_running_loop()
    # What the preparation has made stays: the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    threshold = gc.get_threshold()
    gc.set_threshold(GC_THRESHOLD)
    interrupted = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, interrupted.set)
    cpu_started = time.process_time()
    start = perf_counter()
    load.start(start)
    try:
        while (remaining := start + seconds - perf_counter()) > 0 and not interrupted.is_set():
            await _wait(interrupted, min(remaining, _to_next_second(start)))
            progress.second(_end_second(load, start, sending=True))
        load.stop_sending(perf_counter())
        sending_seconds = perf_counter() - start
        if interrupted.is_set():
            progress.say("interrupted: waiting for what is under way")
        await _drain(load, start, progress)
        load.counters.not_sent = load.late(perf_counter())
    finally:
        load.stop_sending(perf_counter())
        loop.remove_signal_handler(signal.SIGINT)
        gc.set_threshold(*threshold)
        gc.unfreeze()
    if meter is not None:
        meter.stop()
    return Effort(sending_seconds, time.process_time() - cpu_started)


async def _drain(load: Load, start: float, progress: Progress) -> None:
    """Await the answers that are missing, in rows of a second as before."""
    give_up_at = perf_counter() + DRAIN_SECONDS
    while backlog(load, perf_counter()) and perf_counter() < give_up_at:
        row_ends_at = perf_counter() + _to_next_second(start)
        # Looked for and not waited for: answers must cost nothing to take.
        while backlog(load, perf_counter()) and perf_counter() < row_ends_at:  # noqa: ASYNC110 - see above
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        progress.second(_end_second(load, start, sending=False))


def backlog(load: Load, now: float) -> int:
    """Return how many commands are due and not answered."""
    return load.counters.unanswered + load.late(now)


def _end_second(load: Load, start: float, *, sending: bool) -> Second:
    now = perf_counter()
    load.look_after(now)
    return load.timeline.end_second(now - start, backlog(load, now), sending=sending)


def _to_next_second(start: float) -> float:
    """Return how long it is to the next whole second of the run, a moment at the least."""
    return max(1.0 - (perf_counter() - start) % 1.0, LOOK_EVERY_SECONDS)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
