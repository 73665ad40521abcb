"""Reads the body of a message into commands, and puts their outcomes into answers."""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from shared.commands import Command
from shared.ids import MAX_AHEAD_SECONDS, first_id_at
from shared.messages import Unreadable, encode_commands, read_commands
from shared.outcomes import encode_outcome, refused
from shared.refusals import Unprocessable
from worker.storage.outcomes import EncodedOutcome

logger = logging.getLogger(__name__)

CLOCK_TOLERANCE_SECONDS = 30
"""How far the clocks of a gateway and a worker may be apart."""

REFUSALS = {
    "unreadable": "The command could not be read",
    "not_allowed": "The command was not accepted",
}

Entries = list[Command | Unreadable]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A copy of a command that was not applied, for an operator."""

    body: bytes
    """A message of this command alone."""
    reason: str
    error: str


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one command, and the dead letter to publish before it is sent."""

    document: str
    dead_letter: DeadLetter | None = None


def read_entries(body: bytes) -> Entries:
    """Return the commands of a message. Raises nothing: what cannot be read is `Unreadable`."""
    try:
        return _refuse_future(read_commands(body))
    except Exception as error:  # a bug: the message must not come back indefinitely
        logger.exception("a message cannot be read")
        return [Unreadable(f"reading it failed: {type(error).__name__}", body)]


def answer_entries(entries: Entries, outcomes: Sequence[EncodedOutcome]) -> list[Answer]:
    """Return the answer to each entry. `outcomes` are those of the commands among them."""
    decided = iter(outcomes)
    return [
        answer_unreadable(entry)
        if isinstance(entry, Unreadable)
        else _answer_command(entry, next(decided))
        for entry in entries
    ]


def answer_unreadable(entry: Unreadable) -> Answer:
    """Return the answer to an entry that no command could be read from."""
    reason = Unprocessable(f"{REFUSALS[entry.reason]}: {entry.error}")
    document = encode_outcome(refused(entry, reason, decided_at=None))
    return Answer(document, DeadLetter(entry.body, entry.reason, entry.error))


def _answer_command(command: Command, outcome: EncodedOutcome) -> Answer:
    if not outcome.dead_letter:
        return Answer(outcome.document)
    body = encode_commands([command])
    return Answer(outcome.document, DeadLetter(body, "unprocessable", outcome.document))


def first_refused_id() -> str:
    """Return the first command ID that is too far ahead of the clock."""
    seconds_ahead = MAX_AHEAD_SECONDS + CLOCK_TOLERANCE_SECONDS
    return first_id_at(int((time.time() + seconds_ahead) * 1000))


def _refuse_future(entries: Entries) -> Entries:
    """Refuse command IDs ahead of the clock: such a command could outlive its own outcome."""
    first_refused = first_refused_id()
    return [
        Unreadable(
            "command_id: lies ahead of the clock",
            encode_commands([entry]),
            entry.command_id,
            entry.kind,
            entry.submitted_at,
        )
        if not isinstance(entry, Unreadable) and entry.command_id >= first_refused
        else entry
        for entry in entries
    ]
