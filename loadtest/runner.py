"""Runs a load for its time, with a row each second, and awaits the last responses."""

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
"""How long the last responses are awaited after the last request."""
POLL_SECONDS = 0.02
GC_THRESHOLD = 100_000


class Load(Protocol):
    """Sends requests and counts responses."""

    counters: Counters
    timeline: Timeline

    def start(self, start: float) -> None:
        """Send from the loop's time `start` on, until `stop_sending`."""

    def stop_sending(self, now: float) -> None:
        """Make no further requests due; those already due are still sent."""

    def late(self, now: float) -> int:
        """Return how many commands are due and not sent."""

    def look_after(self, now: float) -> None:
        """Do the work of each second. Raises if the load cannot continue."""


class Meter(Protocol):
    """Measures something else while a load runs."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Effort:
    """The duration and CPU of a run, on the side of the load."""

    sending_seconds: float
    cpu_seconds: float


async def run(load: Load, seconds: float, progress: Progress, meter: Meter | None = None) -> Effort:
    """Send for `seconds`, or until Ctrl-C; then await what was due until then."""
    if meter is not None:
        meter.start()
    loop = asyncio.get_running_loop()
    # The objects of the preparation stay: exempt them from garbage collection.
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
            progress.say("interrupted: awaiting the requests in flight")
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
    """Await the missing responses, with a row each second as before."""
    give_up_at = perf_counter() + DRAIN_SECONDS
    while backlog(load, perf_counter()) and perf_counter() < give_up_at:
        row_ends_at = perf_counter() + _to_next_second(start)
        # Polled instead of awaited, so that counting a response costs nothing more.
        while backlog(load, perf_counter()) and perf_counter() < row_ends_at:  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_SECONDS)
        progress.second(_end_second(load, start, sending=False))


def backlog(load: Load, now: float) -> int:
    """Return how many commands are due and not answered."""
    return load.counters.unanswered + load.late(now)


def _end_second(load: Load, start: float, *, sending: bool) -> Second:
    now = perf_counter()
    load.look_after(now)
    return load.timeline.end_second(now - start, backlog(load, now), sending=sending)


def _to_next_second(start: float) -> float:
    """Return the time until the next whole second of the run, at least one poll interval."""
    return max(1.0 - (perf_counter() - start) % 1.0, POLL_SECONDS)


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
