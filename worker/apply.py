"""The unit of work: lock, recall, decide, save. The only place that commits."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.commands import Command
from shared.refusals import Unprocessable
from worker.domain.batch import Batch, decide_batch
from worker.domain.book import Rules
from worker.storage import locking, outcomes
from worker.storage.driver import transaction
from worker.storage.save import save


async def apply(
    engine: AsyncEngine,
    rules: Rules,
    commands: Sequence[Command],
    due_users: Sequence[str] = (),
    *,
    set_aside: Unprocessable | None = None,
) -> Batch:
    """Decide the commands in one transaction and return their outcomes once it is committed.

    The due carts of `due_users` expire with it. With `set_aside`, commands that have no
    outcome yet are not applied but refused for that reason. Whatever it raises, nothing
    or all was applied; applied again, `recall` tells which.
    """
    while True:
        async with transaction(engine) as driver:
            users = await locking.lock_users(driver, commands, due_users)
            # Under these locks, and before the ticket types, for which everybody waits.
            recorded = await outcomes.recall(driver, commands)
            book = await locking.lock_book(driver, users, rules)
            if users.expired_carts_remain:  # nobody is refused for them: those at hand expire first
                batch = decide_batch(book, [], {})
            else:
                batch = decide_batch(book, commands, recorded, set_aside)
            await save(driver, batch)
        if not users.expired_carts_remain:
            return batch
