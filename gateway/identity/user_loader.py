"""Looks up the users of tokens, with one query at a time for all users requested meanwhile.

At the start of a sale thousands of clients send tokens that this gateway has not seen. A query for
each would wait for one of the few connections to the database.
"""

import asyncio
from collections.abc import Awaitable, Callable

from shared.outcomes import User

MAX_IDS_PER_QUERY = 1_000

FindMany = Callable[[list[str]], Awaitable[list[User]]]
Result = asyncio.Future[User | None]


class UserLoader:
    """Collects look-ups while a query runs, and runs the next query for all of them."""

    def __init__(self, find_many: FindMany) -> None:
        self._find_many = find_many
        self._waiting: dict[str, list[Result]] = {}
        """The look-ups that no query has taken yet, by user ID."""
        self._task: asyncio.Task[None] | None = None

    async def find(self, user_id: str) -> User | None:
        """Return the user, or None if there is none. Raises what the query raises."""
        result: Result = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(user_id, []).append(result)
        if self._task is None:
            self._task = asyncio.create_task(self._run_queries())
        return await result

    async def _run_queries(self) -> None:
        try:
            while self._waiting:
                ids = list(self._waiting)[:MAX_IDS_PER_QUERY]
                await self._query({user_id: self._waiting.pop(user_id) for user_id in ids})
        finally:
            self._task = None

    async def _query(self, results: dict[str, list[Result]]) -> None:
        try:
            found = {user.id: user for user in await self._find_many(list(results))}
        except Exception as error:
            for result in _not_cancelled(results, *results):
                result.set_exception(error)
            return
        for user_id in results:
            for result in _not_cancelled(results, user_id):
                result.set_result(found.get(user_id))


def _not_cancelled(results: dict[str, list[Result]], *user_ids: str) -> list[Result]:
    """Return the results that a client still waits for."""
    return [result for user_id in user_ids for result in results[user_id] if not result.done()]
