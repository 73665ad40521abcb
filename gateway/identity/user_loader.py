"""Looks up the users whom tokens name, all that are asked for at a time with one question.

At the start of a sale thousands come with tokens that this gateway has not seen. One question
for each would stand in line for the few connections to the database, each for as long as a
turn of a busy loop takes.
"""

import asyncio
from collections.abc import Awaitable, Callable

from shared.outcomes import User

MAX_IDS_A_QUESTION = 1_000

FindMany = Callable[[list[str]], Awaitable[list[User]]]


class UserLoader:
    """Who asks while a question is under way goes along with the next one."""

    def __init__(self, find_many: FindMany) -> None:
        self._find_many = find_many
        self._asked: dict[str, list[asyncio.Future[User | None]]] = {}
        self._asking: asyncio.Task[None] | None = None

    async def find(self, user_id: str) -> User | None:
        """Return the user. Raises what the question raises."""
        answer: asyncio.Future[User | None] = asyncio.get_running_loop().create_future()
        self._asked.setdefault(user_id, []).append(answer)
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask())
        return await answer

    async def _ask(self) -> None:
        try:
            while self._asked:
                ids = list(self._asked)[:MAX_IDS_A_QUESTION]
                askers = {user_id: self._asked.pop(user_id) for user_id in ids}
                try:
                    found = {user.id: user for user in await self._find_many(ids)}
                except Exception as error:
                    for answer in _waiting(askers, ids):
                        answer.set_exception(error)
                else:
                    for user_id in ids:
                        for answer in _waiting(askers, [user_id]):
                            answer.set_result(found.get(user_id))
        finally:
            self._asking = None


def _waiting(
    askers: dict[str, list[asyncio.Future[User | None]]], ids: list[str]
) -> list[asyncio.Future[User | None]]:
    """Return who still waits for these; who has left is cancelled."""
    return [answer for user_id in ids for answer in askers[user_id] if not answer.done()]
