"""Folds `decide` over a batch: each command sees what the one before it did."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from shared.commands import CartCommand, CheckOut, Command, OrderCommand, unread_fingerprint
from shared.messages import UnreadCommand
from shared.outcomes import Outcome, PaymentResult, Result, refused, succeeded
from shared.refusals import (
    CommandIdReused,
    InsufficientAvailability,
    LimitExceeded,
    Unprocessable,
)
from worker.domain import ledger
from worker.domain.book import Book, Changes
from worker.domain.decide import decide


@dataclass(slots=True, frozen=True)
class RecordedOutcome:
    """An outcome that is on record, and the fingerprint of the payload that it answers."""

    fingerprint: bytes
    document: str
    dead_letter: bool
    """Whether the command is to be copied to the dead letters."""


@dataclass(slots=True, eq=False)
class NewOutcome:
    """The outcome of a command that this batch decided."""

    command: Command | UnreadCommand
    fingerprint: bytes
    outcome: Outcome
    dead_letter: bool
    """Whether the command is to be copied to the dead letters."""


@dataclass(slots=True)
class Batch:
    """What a batch of commands came to."""

    outcomes: list[NewOutcome | RecordedOutcome] = field(default_factory=list)
    """One for each command, in the order of the commands. Duplicates share one."""
    to_record: list[NewOutcome] = field(default_factory=list)
    changes: Changes = field(default_factory=Changes)

    def depends_on_due_holds(self) -> bool:
        """Tell whether a decision could differ if more due holds had ended before it."""
        return any(_depends_on_due_holds(new) for new in self.to_record)


def decide_batch(
    book: Book,
    commands: Sequence[Command | UnreadCommand],
    recorded: Mapping[str, RecordedOutcome],
    forced_refusal: Unprocessable | None = None,
) -> Batch:
    """Expire due carts and orders, then decide each command that has no recorded outcome.

    A duplicate gets the recorded outcome. Another payload under a recorded ID is refused. That
    refusal is not recorded: the ID keeps its first outcome. An ID older than the retention of
    outcomes is not recorded either: its refusal is the same each time.

    With `forced_refusal`, a command without an outcome is refused for that reason, undecided,
    and is to be dead-lettered. A command that could not be read is refused in any case. Its outcome
    answers each payload that its user sends under its ID.
    """
    if forced_refusal is None:  # else the expiry of a damaged cart may be what failed
        book.expire_carts()
        ledger.settle_all(book)
    known: dict[str, RecordedOutcome | NewOutcome] = {**recorded}
    batch = Batch(changes=book.changes)
    for command in commands:
        fingerprint = command.fingerprint()
        earlier = known.get(command.command_id)
        if earlier is None:
            outcome = _decide(book, command, forced_refusal)
            new = NewOutcome(command, fingerprint, outcome, forced_refusal is not None)
            known[command.command_id] = new
            batch.outcomes.append(new)
            if command.command_id >= book.oldest_kept_id:
                batch.to_record.append(new)
        elif earlier.fingerprint == fingerprint or _was_unread(earlier, command.user_id):
            batch.outcomes.append(earlier)
        else:
            reused = refused(command, CommandIdReused(), book.now)
            batch.outcomes.append(NewOutcome(command, fingerprint, reused, dead_letter=False))
    return batch


def _depends_on_due_holds(new: NewOutcome) -> bool:
    """Tell whether the hold of another cart or order may have led to this outcome.

    What a cart or an order takes or gives back depends on it only where there were too few tickets,
    or where an order of the same user, due itself, counted for the limit of a user.
    """
    if not isinstance(new.command, CartCommand | CheckOut | OrderCommand):
        return True
    result = new.outcome.result
    if isinstance(result, PaymentResult):
        return result.payment.reason == "order_expired"
    return isinstance(new.outcome.refusal, InsufficientAvailability | LimitExceeded)


def _decide(
    book: Book, command: Command | UnreadCommand, forced_refusal: Unprocessable | None
) -> Outcome:
    if forced_refusal is not None or isinstance(command, UnreadCommand):
        return refused(command, forced_refusal or Unprocessable(), book.now)
    decision = decide(book, command)
    if isinstance(decision, Result):
        return succeeded(command, decision, book.now)
    return refused(command, decision, book.now)


def _was_unread(earlier: RecordedOutcome | NewOutcome, user_id: str) -> bool:
    """Tell whether the payload that `earlier` answers is unknown, and of this user."""
    return earlier.fingerprint == unread_fingerprint(user_id)
