"""A worker that is killed whenever it decides a command of one user."""

import os
import signal
from collections.abc import Sequence
from typing import Any

from shared.commands import Command
from worker import apply
from worker.__main__ import main

POISON_VARIABLE = "HOLDFAST_TEST_POISON"
"""Names the user."""

decide_batch = apply.decide_batch


def die_or_decide(book: Any, commands: Sequence[Command], recorded: Any, *rest: Any) -> Any:
    if rest == (None,):  # not told to set it aside
        for command in commands:
            if command.user_id == os.environ[POISON_VARIABLE]:
                if command.command_id in recorded:
                    continue
                os.kill(os.getpid(), signal.SIGKILL)
    return decide_batch(book, commands, recorded, *rest)


if __name__ == "__main__":
    apply.decide_batch = die_or_decide
    main()
