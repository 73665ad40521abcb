"""The unit of work: lock, recall, decide, save. No other module commits."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.commands import Command
from shared.messages import UnreadCommand
from shared.refusals import Unprocessable
from worker.domain.batch import Batch, decide_batch
from worker.domain.book import Rules
from worker.domain.locks import Due
from worker.storage import locking, outcomes
from worker.storage.driver import transaction
from worker.storage.outcomes import EncodedOutcome, encode
from worker.storage.save import save

RequirePartition = Callable[[], Awaitable[None]]

DUE_LINES_BESIDE_COMMANDS = 100
"""Lines of due carts that a batch looks at, and of due orders; the sweep ends the rest. More would
delay the commands."""
DUE_LINES_ALONE = 2_000
"""The same for a transaction that decides no command, because commands need what is due."""


class _DueHoldsFirstError(Exception):
    """Rolls a batch back whose decisions could differ once more due holds have ended."""


@dataclass(slots=True, frozen=True)
class AppliedBatch:
    """A batch that is committed."""

    batch: Batch
    outcomes: list[EncodedOutcome]
    """One for each command, in the order of the commands."""


async def apply(
    engine: AsyncEngine,
    rules: Rules,
    commands: Sequence[Command | UnreadCommand],
    due: Sequence[Due] = (),
    *,
    forced_refusal: Unprocessable | None = None,
    require_partition: RequirePartition | None = None,
) -> AppliedBatch:
    """Decide the commands in one transaction and return their outcomes once it is committed.

    The holds of `due` end with it. With `forced_refusal`, commands that have no outcome yet are
    refused for that reason, undecided. When it raises, all commands were applied or none. To find
    out, apply them again: `recall` finds the outcomes of a committed batch.

    `require_partition` raises a transient error where today's outcomes cannot be stored. Without
    it, each command would be refused alone for a fault that is not its own.
    """
    if require_partition is not None:
        await require_partition()
    max_due_lines = DUE_LINES_BESIDE_COMMANDS
    while True:
        try:
            async with transaction(engine) as driver:
                users = await locking.lock_users(driver, commands, due, max_due_lines)
                # Under the users' locks, and before the ticket types, for which others wait.
                recorded = await outcomes.recall(driver, commands)
                locked = await locking.lock_book(driver, users, rules)
                batch = decide_batch(locked.book, commands, recorded, forced_refusal)
                if locked.due_holds_remain and batch.depends_on_due_holds():
                    raise _DueHoldsFirstError  # noqa: TRY301  # rolls the transaction back
                encoded = encode(batch)
                await save(driver, batch, encoded)
            return AppliedBatch(batch, encoded)
        except _DueHoldsFirstError:
            await _end_due_holds(engine, rules, commands)


async def _end_due_holds(
    engine: AsyncEngine, rules: Rules, commands: Sequence[Command | UnreadCommand]
) -> None:
    """End due holds of tickets that the commands want."""
    async with transaction(engine) as driver:
        users = await locking.lock_users(driver, commands, (), DUE_LINES_ALONE)
        locked = await locking.lock_book(driver, users, rules)
        await save(driver, decide_batch(locked.book, [], {}), [])
