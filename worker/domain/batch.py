"""Folds `decide` over a batch: each command sees what the one before it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.commands import Command
from shared.outcomes import Outcome, Result, encode_outcome, refused, succeeded
from shared.refusals import CommandIdReused, Unprocessable
from worker.domain.book import Book, Changes
from worker.domain.decide import Decision, decide


@dataclass(slots=True)
class Recorded:
    """An outcome as it was recorded, and the fingerprint of the payload that it answers."""

    fingerprint: bytes
    document: str


@dataclass(slots=True)
class Fresh:
    """A command decided for the first time, to be recorded."""

    command: Command
    fingerprint: bytes
    outcome: Outcome
    document: str


@dataclass(slots=True)
class Batch:
    """What became of a batch."""

    documents: list[str] = field(default_factory=list)
    """The outcome document of each command, in the order of the commands."""
    fresh: list[Fresh] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)


def decide_batch(
    book: Book,
    commands: Sequence[Command],
    recorded: Mapping[str, Recorded],
    set_aside: Unprocessable | None = None,
) -> Batch:
    """Expire what is due, then decide each command that has no recorded outcome.

    A duplicate gets the recorded outcome to the letter. Another payload under a recorded
    ID is refused, and that refusal is recorded nowhere: the ID keeps its first outcome.
    With `set_aside`, a command without an outcome is refused for that reason, untried.
    Where the record no longer has a place for an ID, its refusal is not recorded either: as
    long as the clock goes on, it will be the same.
    """
    if set_aside is None:  # what could not be applied may be the expiry of a damaged cart
        book.expire_carts()
    known: dict[str, Recorded | Fresh] = {**recorded}
    batch = Batch(changes=book.changes)
    for command in commands:
        fingerprint = command.fingerprint()
        earlier = known.get(command.command_id)
        if earlier is None:
            outcome = _outcome(book, command, set_aside or decide(book, command))
            fresh = Fresh(command, fingerprint, outcome, encode_outcome(outcome))
            known[command.command_id] = fresh
            batch.documents.append(fresh.document)
            if command.command_id >= book.oldest_kept_id:
                batch.fresh.append(fresh)
        elif earlier.fingerprint == fingerprint:
            batch.documents.append(earlier.document)
        else:
            batch.documents.append(encode_outcome(_outcome(book, command, CommandIdReused())))
    return batch


def _outcome(book: Book, command: Command, decision: Decision) -> Outcome:
    if isinstance(decision, Result):
        return succeeded(command, decision, book.now)
    return refused(command, decision, book.now)
