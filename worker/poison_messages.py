"""Decides a message that may have ended workers, so that it can neither do so for ever nor be
given up for the fault of its neighbours.

That a message came back again and again tells little of it: so did all that those workers had
in hand. It is tried with nothing beside it, first as a whole, then command by command. Each try
is noted on disk before it is made: what ends the worker leaves its note, and what was tried alone
too often is given up.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Protocol, TypeVar

from shared.commands import Command
from shared.refusals import Unprocessable
from worker import faults
from worker.storage.outcomes import EncodedOutcome
from worker.telemetry import TRIED_ALONE

logger = logging.getLogger(__name__)

MIN_SUSPECT_REDELIVERIES = 5
"""A message that came back less often is decided with the others."""
MAX_TRIES_ALONE = 3
"""How often a command may be tried alone. Both together stay far below the delivery limit, at which
the broker would publish_dead_letter the message, and its neighbours in hand, without an outcome."""
PAUSE_SECONDS = 1.0
"""Between attempts to reach the notes."""

DEADLY = Unprocessable("Deciding the command ended the worker each time, and it was set aside.")

Commit = Callable[[Sequence[Command]], Awaitable[list[EncodedOutcome]]]
SetAside = Callable[[Command, Exception, Unprocessable], Awaitable[EncodedOutcome]]
Value = TypeVar("Value")


class SoloAttempts(Protocol):
    """Notes on commands tried alone, which outlive the worker."""

    async def earlier(self, commands: Sequence[Command]) -> list[int]: ...
    async def note(self, commands: Sequence[Command]) -> None: ...


async def decide_poison_suspect(
    trials: SoloAttempts, commands: Sequence[Command], commit: Commit, set_aside: SetAside
) -> list[EncodedOutcome]:
    """Return the outcome of each command. Nothing else may be decided meanwhile."""
    TRIED_ALONE.inc(len(commands))
    tries = await _reach(partial(trials.earlier, commands), [0] * len(commands))
    if not any(tries):
        await _reach(partial(trials.note, commands), None)
        return await commit(commands)
    outcomes: list[EncodedOutcome] = []
    for command, earlier in zip(commands, tries, strict=True):
        if earlier >= MAX_TRIES_ALONE:
            error = RuntimeError(f"tried alone {earlier} times, and the worker died each time")
            outcomes.append(await set_aside(command, error, DEADLY))
        else:
            await _reach(partial(trials.note, [command]), None)
            outcomes += await commit([command])
    return outcomes


async def _reach(notes: Callable[[], Awaitable[Value]], otherwise: Value) -> Value:
    """Read or write a note. Where none can be, the broker's limit is what is left."""
    while True:
        try:
            return await notes()
        except Exception as error:
            if not faults.is_transient(error):
                logger.exception("tries of suspect commands cannot be noted")
                return otherwise
        await asyncio.sleep(PAUSE_SECONDS)
