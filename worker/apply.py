"""The unit of work: lock, recall, decide, save. No other module commits."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.commands import Command
from shared.refusals import Unprocessable
from worker.domain.batch import Batch, decide_batch
from worker.domain.book import Rules
from worker.storage import locking, outcomes
from worker.storage.driver import transaction
from worker.storage.outcomes import EncodedOutcome, encode
from worker.storage.save import save

RequirePartition = Callable[[], Awaitable[None]]


@dataclass(slots=True, frozen=True)
class AppliedBatch:
    """A batch that is committed."""

    batch: Batch
    outcomes: list[EncodedOutcome]
    """One for each command, in the order of the commands."""


async def apply(
    engine: AsyncEngine,
    rules: Rules,
    commands: Sequence[Command],
    due_users: Sequence[str] = (),
    *,
    forced_refusal: Unprocessable | None = None,
    require_partition: RequirePartition | None = None,
) -> AppliedBatch:
    """Decide the commands in one transaction and return their outcomes once it is committed.

    The due carts of `due_users` expire with it. With `forced_refusal`, commands that have no
    outcome yet are refused for that reason, undecided. When it raises, all commands were applied
    or none. To find out, apply them again: `recall` finds the outcomes of a committed batch.

    `require_partition` raises a transient error where today's outcomes cannot be stored. Without
    it, each command would be refused alone for a fault that is not its own.
    """
    if require_partition is not None:
        await require_partition()
    while True:
        async with transaction(engine) as driver:
            users = await locking.lock_users(driver, commands, due_users)
            # Under the users' locks, and before the ticket types, for which other batches wait.
            recorded = await outcomes.recall(driver, commands)
            locked = await locking.lock_book(driver, users, rules)
            if locked.expired_carts_remain:  # they refuse no command: this part of them goes first
                batch = decide_batch(locked.book, [], {})
            else:
                batch = decide_batch(locked.book, commands, recorded, forced_refusal)
            encoded = encode(batch)
            await save(driver, batch, encoded)
        if not locked.expired_carts_remain:
            return AppliedBatch(batch, encoded)
