"""Ends processes and their descendants once the process that registered them has ended.

Run as `python -m dev.guard`. Its input says `+pid` and `-pid`, a line each, and ends when the
process at the other end does, even by SIGKILL. A pipe and not PR_SET_PDEATHSIG, which fires when
the thread that started the child ends.
"""

import os
import signal
import sys
import time
from contextlib import suppress

from dev.processes import STOP_SECONDS, kill_tree

LOOK_EVERY_SECONDS = 0.1


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
    """Asks first: a RabbitMQ killed right after it made a queue may never find that queue again."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGTERM)
    give_up_at = time.monotonic() + STOP_SECONDS
    while any(map(is_alive, pids)) and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY_SECONDS)
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
