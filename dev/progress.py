"""Prints what is going on, a line at a time, and repeats it while something slow goes on."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

REMIND_SECONDS = 5.0


def say(line: str) -> None:
    print(line + "\n", end="", flush=True)  # in one piece: lines of several threads stay whole


@contextmanager
def slowly(what: str) -> Iterator[None]:
    """Says what begins, and says it again with the seconds gone by for as long as it lasts."""
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
