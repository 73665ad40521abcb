"""Recalls recorded outcomes, and encodes new ones."""

from collections.abc import Sequence
from dataclasses import dataclass

from shared.commands import Command
from shared.messages import UnreadCommand
from shared.outcomes import encode_outcome
from worker.domain.batch import Batch, NewOutcome, RecordedOutcome
from worker.storage.driver import Driver
from worker.storage.statements import RECALL


@dataclass(slots=True)
class EncodedOutcome:
    """The outcome of a command as it is sent."""

    document: str
    dead_letter: bool
    """Whether the command is to be copied to the dead letters before it is answered."""


async def recall(
    driver: Driver, commands: Sequence[Command | UnreadCommand]
) -> dict[str, RecordedOutcome]:
    """Return the recorded outcomes, by command ID.

    Complete only under the locks that `lock_users` takes: a duplicate locks the same user, or the
    buyer of the same order, and has committed by the time the lock is granted.
    """
    if not commands:
        return {}
    ids = [command.command_id for command in commands]
    rows = await driver.fetch(RECALL, ids, min(ids), max(ids))
    return {command_id: RecordedOutcome(*columns) for command_id, *columns in rows}


def encode(batch: Batch) -> list[EncodedOutcome]:
    """Return the outcome of each command, encoded once: duplicates share one object."""
    encoded: dict[NewOutcome | RecordedOutcome, EncodedOutcome] = {}
    for outcome in batch.outcomes:
        if outcome not in encoded:
            encoded[outcome] = EncodedOutcome(_document(outcome), outcome.dead_letter)
    return [encoded[outcome] for outcome in batch.outcomes]


def _document(outcome: NewOutcome | RecordedOutcome) -> str:
    if isinstance(outcome, RecordedOutcome):
        return outcome.document
    return encode_outcome(outcome.outcome)
