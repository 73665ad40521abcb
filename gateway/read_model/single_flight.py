"""Lets requests that ask the same at the same time share one question to the database."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """Who asks while the same question is under way goes along with the next one, together.

    Never with the one under way: that may have been answered before a commit which the asker
    has already seen. So no answer is older than its question, and no timer is needed.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[None]] = {}
        self._next: dict[Hashable, tuple[asyncio.Task[None], list[asyncio.Future[Answer]]]] = {}

    async def read(self, question: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer of `ask`, which is called for many askers at once."""
        return await self.begin(question, ask)

    def begin(
        self, question: Hashable, ask: Callable[[], Awaitable[Answer]]
    ) -> "asyncio.Future[Answer]":
        """Return a future of that answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        planned = self._next.get(question)
        if planned is None:
            askers = [answer]
            self._next[question] = asyncio.create_task(self._ask(question, ask, askers)), askers
        else:
            planned[1].append(answer)
        return answer

    async def _ask(
        self,
        question: Hashable,
        ask: Callable[[], Awaitable[Answer]],
        askers: list[asyncio.Future[Answer]],
    ) -> None:
        if before := self._under_way.get(question):
            await asyncio.wait([before])
        self._under_way[question], _ = self._next.pop(question)
        try:
            answer = await ask()
        except Exception as error:
            for asker in askers:
                if not asker.done():
                    asker.set_exception(error)
        else:
            for asker in askers:
                if not asker.done():  # who has left is cancelled
                    asker.set_result(answer)
        finally:
            del self._under_way[question]
