"""A worker with crash points at its seams: `python -m reliability.chaos.system.crashing_worker`.

The worker itself knows nothing of them: its functions are wrapped by name, and a name that has
gone fails at the start.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine

from reliability.chaos.system.crash_trigger import CrashTrigger, run_with_crash_points
from worker import __main__ as worker
from worker import apply
from worker.messaging import replies
from worker.storage import locking
from worker.storage.driver import COMMIT, Driver

SENDING_TURNS = 3
"""Iterations of the event loop after which written data has left the process."""


def main() -> None:
    run_with_crash_points(wrap, worker.main)


def wrap(trigger: CrashTrigger) -> None:
    """Put crash points before and after lock, save, commit, reply and acknowledge."""
    _replace(locking, "lock_users", trigger.around("before lock", locking.lock_users, None))
    _replace(locking, "lock_book", trigger.around(None, locking.lock_book, "after lock"))
    # Where they are used, as `apply` has imported them by name.
    save, transaction = vars(apply)["save"], vars(apply)["transaction"]
    _replace(apply, "save", trigger.around("before save", save, "after save"))
    _replace(apply, "transaction", _transaction(trigger, transaction))
    publish = trigger.around("before reply", replies._publish, "after reply")
    _replace(replies, "_publish", publish)
    acknowledge = replies.AckBatcher.acknowledge
    around = trigger.around("before acknowledge", acknowledge, "after acknowledge")
    _replace(replies.AckBatcher, "acknowledge", around)
    _replace(asyncpg.Connection, "execute", _execute(trigger, asyncpg.Connection.execute))


def _transaction(trigger: CrashTrigger, transaction: Any) -> Any:
    @asynccontextmanager
    async def wrapped(engine: AsyncEngine) -> AsyncIterator[Driver]:
        async with transaction(engine) as driver:
            yield driver
            trigger.passes("before commit")
        trigger.passes("after commit")

    return wrapped


def _execute(trigger: CrashTrigger, execute: Any) -> Any:
    """Intercepts COMMIT, between its request and its response."""

    async def wrapped(connection: Driver, query: str, *args: Any, **kwargs: Any) -> Any:
        if query != COMMIT or not trigger.is_armed_at("commit sent"):
            return await execute(connection, query, *args, **kwargs)
        sent = asyncio.ensure_future(execute(connection, query, *args, **kwargs))
        for _ in range(SENDING_TURNS):
            await asyncio.sleep(0)
        trigger.passes("commit sent")
        return await sent

    return wrapped


def _replace(owner: Any, name: str, function: Any) -> None:
    setattr(owner, name, function)


if __name__ == "__main__":
    main()
