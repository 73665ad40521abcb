"""A client for single commands through the queue, used before and after a run."""

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from loadtest.queue.amqp import BrokerError, CommandsLink, connect
from shared.commands import Command
from shared.ids import new_id
from shared.messages import encode_commands
from shared.outcomes import Outcome, decode_reply

ANSWER_SECONDS = 30.0


class PreparationError(Exception):
    """The fixtures cannot be created; the message says why."""


class QueueClient:
    """A connection to the queue for the preparation and the checks of a run."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._link: CommandsLink
        self._awaited: dict[str, asyncio.Future[bytes]] = {}

    async def decide(self, commands: Sequence[Command]) -> list[Outcome]:
        """Return the outcomes of up to 100 commands. Raises `PreparationError`, `BrokerError`."""
        name = new_id()
        answer = self._awaited[name] = asyncio.get_running_loop().create_future()
        try:
            self._link.publish(name, encode_commands(list(commands)))
            either: set[asyncio.Future[Any]] = {answer, self._link.lost}
            await asyncio.wait(either, timeout=ANSWER_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            if answer.done():
                return decode_reply(answer.result())
            if self._link.lost.done():
                raise self._link.lost.result()
        finally:
            del self._awaited[name]
        raise PreparationError(
            f"No worker answered within {ANSWER_SECONDS:g} s. Does one run on this broker?"
        )

    async def apply(self, commands: Sequence[Command]) -> list[Outcome]:
        """Return the outcomes of commands that must succeed."""
        outcomes = await self.decide(commands)
        for outcome in outcomes:
            if outcome.status != "succeeded":
                raise PreparationError(f"{outcome.kind} was refused: {outcome.refusal}")
        return outcomes

    async def __aenter__(self) -> Self:
        self._link = await connect(self._broker_url, self._on_reply, self._on_confirm)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._link.close()

    def _on_reply(self, name: str, body: bytes) -> None:
        answer = self._awaited.get(name)
        if answer is not None and not answer.done():
            answer.set_result(body)

    def _on_confirm(self, number: int, multiple: bool, taken: bool) -> None:
        if not taken and not self._link.lost.done():
            self._link.lost.set_result(BrokerError("The broker refuses commands: it is full."))
