"""Lets requests that ask the same at the same time share one question to the database."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SharedReads(Generic[Answer]):
    """Who asks while the same question is under way goes along with the next one, together.

    Never with the one under way: that may have been answered before a commit which the asker
    has already seen. So no answer is older than its question, and no timer is needed.
    """

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Answer]] = {}
        self._next: dict[Hashable, asyncio.Task[Answer]] = {}

    async def read(self, question: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer of `ask`, which is called for many askers at once."""
        task = self._next.get(question)
        if task is None:
            task = self._next[question] = asyncio.create_task(self._ask(question, ask))
        return await asyncio.shield(task)

    async def _ask(self, question: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        if before := self._under_way.get(question):
            await asyncio.wait([before])
        self._under_way[question] = self._next.pop(question)
        try:
            return await ask()
        finally:
            del self._under_way[question]
