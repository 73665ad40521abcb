"""Lets identical reads that arrive together share one query."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

Answer = TypeVar("Answer")


class SingleFlight(Generic[Answer]):
    """Callers that arrive during an identical read share the next one.

    They do not share the read in progress: its snapshot may be older than a commit that the caller
    already knows of. So no result is older than its request, without any timer.
    """

    def __init__(self) -> None:
        self._in_progress: dict[Hashable, asyncio.Task[None]] = {}
        self._next: dict[Hashable, tuple[asyncio.Task[None], list[asyncio.Future[Answer]]]] = {}

    async def read(self, question: Hashable, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """Return the answer of `ask`, which is called once for many callers."""
        return await self.begin(question, ask)

    def begin(
        self, question: Hashable, ask: Callable[[], Awaitable[Answer]]
    ) -> "asyncio.Future[Answer]":
        """Return a future of that answer."""
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        planned = self._next.get(question)
        if planned is None:
            callers = [answer]
            self._next[question] = asyncio.create_task(self._ask(question, ask, callers)), callers
        else:
            planned[1].append(answer)
        return answer

    async def _ask(
        self,
        question: Hashable,
        ask: Callable[[], Awaitable[Answer]],
        callers: list[asyncio.Future[Answer]],
    ) -> None:
        if before := self._in_progress.get(question):
            await asyncio.wait([before])
        self._in_progress[question], _ = self._next.pop(question)
        try:
            answer = await ask()
        except Exception as error:
            for caller in callers:
                if not caller.done():
                    caller.set_exception(error)
        else:
            for caller in callers:
                if not caller.done():  # the future of a caller that left is cancelled
                    caller.set_result(answer)
        finally:
            del self._in_progress[question]
