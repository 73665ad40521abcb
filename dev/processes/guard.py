"""Ends processes and their descendants once the process that registered them has ended.

Run as `python -m dev.processes.guard`. It reads lines `+pid` and `-pid` from its input, which ends
when the process at the other end does, even by SIGKILL. A pipe and not PR_SET_PDEATHSIG, which
fires when the thread that started the child ends.
"""

import os
import signal
import sys
import time
from contextlib import suppress

from dev.processes.process import STOP_SECONDS, kill_tree

POLL_SECONDS = 0.1


def main() -> None:
    watched: set[int] = set()
    for line in sys.stdin:
        pid = int(line[1:])
        if line.startswith("+"):
            watched.add(pid)
        else:
            watched.discard(pid)
    end(watched)


def end(pids: set[int]) -> None:
    """Ask first: a RabbitMQ killed right after it created a queue may lose that queue."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_SECONDS
    while any(map(is_alive, pids)) and time.monotonic() < give_up_at:
        time.sleep(POLL_SECONDS)
    for pid in pids:
        kill_tree(pid)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


if __name__ == "__main__":
    main()
