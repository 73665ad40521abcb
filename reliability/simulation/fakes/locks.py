"""Row locks as Postgres has them: first come, first served, until the transaction ends."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from asyncpg import AdminShutdownError, DeadlockDetectedError, LockNotAvailableError

Key = tuple[str, Any]
"""A table or an index, and the locked keys in it."""
LOCK_TIMEOUT_SECONDS = 2.0


class Holder:
    """What locks belong to: a transaction."""

    def __init__(self) -> None:
        self.is_open = True
        self.locks: set[Key] = set()
        self.waits_for: Key | None = None


class RowLocks:
    """The holder of each lock, and its waiters."""

    def __init__(self, on_deadlock: Callable[[Key], None]) -> None:
        self._on_deadlock = on_deadlock
        self._holders: dict[Key, Holder] = {}
        self._queues: dict[Key, deque[tuple[Holder, asyncio.Future[None]]]] = {}

    async def acquire(self, holder: Holder, key: Key) -> None:
        """Take a lock, or wait for it; raises as Postgres does when that cannot end well."""
        self._expect_open(holder)
        owner = self._holders.setdefault(key, holder)
        if owner is holder:
            holder.locks.add(key)
            return
        if self._closes_a_circle(holder, owner):
            self._on_deadlock(key)
            raise DeadlockDetectedError("deadlock detected")
        loop = asyncio.get_running_loop()
        granted: asyncio.Future[None] = loop.create_future()
        patience = loop.call_later(LOCK_TIMEOUT_SECONDS, self._give_up, granted)
        self._queues.setdefault(key, deque()).append((holder, granted))
        holder.waits_for = key
        try:
            await granted
        finally:
            holder.waits_for = None
            patience.cancel()
        self._expect_open(holder)

    def release_all(self, holder: Holder) -> None:
        """Hand every lock of a transaction to the next waiter."""
        for key in sorted(holder.locks):
            queue = self._queues.get(key)
            while queue:
                heir, granted = queue.popleft()
                if not granted.done():
                    self._holders[key] = heir
                    heir.locks.add(key)
                    heir.waits_for = None
                    granted.set_result(None)
                    break
            else:
                del self._holders[key]
        holder.locks.clear()

    def interrupt(self, holder: Holder, error: Exception) -> None:
        """End a transaction's wait with an error."""
        if holder.waits_for is not None:
            for waiting, granted in self._queues[holder.waits_for]:
                if waiting is holder and not granted.done():
                    granted.set_exception(error)

    def _closes_a_circle(self, holder: Holder, owner: Holder) -> bool:
        seen = owner
        while seen.waits_for is not None:
            seen = self._holders[seen.waits_for]
            if seen is holder:
                return True
        return False

    @staticmethod
    def _expect_open(holder: Holder) -> None:
        if not holder.is_open:
            raise AdminShutdownError("terminating connection")

    @staticmethod
    def _give_up(granted: "asyncio.Future[None]") -> None:
        if not granted.done():
            granted.set_exception(LockNotAvailableError("canceling statement: lock timeout"))
