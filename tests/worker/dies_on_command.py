"""A worker that is killed, or hangs, whenever it reads or decides a command of some users.

Its process for poison suspects does the same: `python -m tests.worker.dies_on_command isolated`.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Any

from shared.commands import Command
from worker import apply, isolation
from worker.__main__ import main
from worker.messaging import reading

DIES_DECIDING = "HOLDFAST_TEST_DIES_DECIDING"
DIES_READING = "HOLDFAST_TEST_DIES_READING"
HANGS_DECIDING = "HOLDFAST_TEST_HANGS_DECIDING"
"""Each names users, with commas."""

ISOLATED = [sys.executable, "-m", "tests.worker.dies_on_command", "isolated"]

decide_batch, read_commands = apply.decide_batch, reading.read_commands


def users(variable: str) -> list[str]:
    return [user for user in os.environ.get(variable, "").split(",") if user]


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_or_read(body: bytes) -> Any:
    if any(user.encode() in body for user in users(DIES_READING)):
        die()
    return read_commands(body)


def die_or_decide(book: Any, commands: Sequence[Command], recorded: Any, *rest: Any) -> Any:
    if rest == (None,):  # no refusal is forced
        undecided = {one.user_id for one in commands if one.command_id not in recorded}
        if undecided & {*users(DIES_DECIDING)}:
            die()
        while undecided & {*users(HANGS_DECIDING)}:
            pass
    return decide_batch(book, commands, recorded, *rest)


if __name__ == "__main__":
    apply.decide_batch = die_or_decide
    reading.read_commands = die_or_read
    isolation.COMMAND = ISOLATED
    if users(HANGS_DECIDING):
        isolation.SILENCE_SECONDS = 2
    if sys.argv[1:] == ["isolated"]:
        isolation.main()
    else:
        main()
