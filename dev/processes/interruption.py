"""Turns Ctrl-C, SIGTERM and the end of `make` into one KeyboardInterrupt for an orderly stop."""

import asyncio
import os
import signal
import threading
import time
from pathlib import Path
from types import FrameType

POLL_SECONDS = 0.5
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def stop_on_signals() -> None:
    for each in STOP_SIGNALS:
        signal.signal(each, _interrupt)
    threading.Thread(target=_watch_parent, args=(os.getppid(),), daemon=True).start()


def cancel_on_signals() -> None:
    """From now on cancel only the running task: an interrupt could hit any other task."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()

    def cancel() -> None:
        for each in STOP_SIGNALS:
            loop.add_signal_handler(each, lambda: None)
        if task is not None:
            task.cancel()

    for each in STOP_SIGNALS:
        loop.add_signal_handler(each, cancel)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    for each in STOP_SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # stopping takes seconds and must not be cut short
    raise KeyboardInterrupt


def _watch_parent(parent: int) -> None:
    """Stop when the parent ends. `make` does not pass on SIGINT, but stops catching it."""
    under_make = "MAKELEVEL" in os.environ and _catches_interrupt(parent)
    while os.getppid() == parent and (not under_make or _catches_interrupt(parent)):
        time.sleep(POLL_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _catches_interrupt(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = next(line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught, 16) >> (signal.SIGINT - 1) & 1)
