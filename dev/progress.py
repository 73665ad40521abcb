"""Prints progress, a line at a time, and repeats the line during a slow step."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

REMIND_SECONDS = 5.0


def say(line: str) -> None:
    print(line + "\n", end="", flush=True)  # one write keeps lines of several threads whole


@contextmanager
def slowly(what: str) -> Iterator[None]:
    """Print what begins; repeat it with the elapsed seconds until the context ends."""
    finished = threading.Event()
    started_at = time.monotonic()

    def remind() -> None:
        while not finished.wait(REMIND_SECONDS):
            say(f"{what} … {time.monotonic() - started_at:.0f} s")

    say(f"{what} …")
    reminder = threading.Thread(target=remind, daemon=True)
    reminder.start()
    try:
        yield
    finally:
        finished.set()
        reminder.join()
