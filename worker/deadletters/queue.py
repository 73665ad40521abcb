"""The dead letters at the broker: held while somebody looks, put back in their order at the end."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

from shared import topology
from shared.ids import new_id
from worker.deadletters.message import DeadLetter

MAX_LETTERS = 1_000
MAX_HELD_BYTES = 256 * 1024 * 1024
"""What is held at a time, and hidden from others; past either bound the rest is not looked at."""
BROKER_TIMEOUT_SECONDS = 10.0
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
DEFAULT_ACCOUNT = "guest"
"""Of a URL that names none."""


@dataclass
class DeadLetterQueue:
    """The dead letters that are held, oldest first, and how many more there are."""

    channel: AbstractChannel
    queue: AbstractQueue
    account: str
    letters: list[DeadLetter] = field(default_factory=list)
    more: int = 0
    _replies: dict[str, "asyncio.Future[list[dict[str, Any]]]"] = field(default_factory=dict)
    _reply_queue: str = ""
    _last: AbstractIncomingMessage | None = None

    async def hand_in(
        self, letter: DeadLetter, body: bytes | None = None
    ) -> "asyncio.Future[list[dict[str, Any]]]":
        """Send its commands, or those in `body`, to the workers again; the letter goes after that.

        Return a future of their outcomes. Where the broker does not confirm this raises, and the
        letter stays.
        """
        if not self._reply_queue:
            await self._expect_replies()
        is_recorded = body is None and letter.is_recorded
        correlation_id = new_id()
        answer: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
        self._replies[correlation_id] = answer
        message = aio_pika.Message(
            letter.message.body if body is None else body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            # Returns are told apart by it.
            message_id=new_id(),
            correlation_id=correlation_id,
            reply_to=self._reply_queue,
            user_id=self.account,
            headers={topology.RECORDED_HEADER: True} if is_recorded else {},
        )
        exchange = await self.channel.get_exchange(topology.COMMANDS_EXCHANGE, ensure=False)
        await exchange.publish(
            message, topology.COMMANDS_ROUTING_KEY, timeout=BROKER_TIMEOUT_SECONDS
        )
        await letter.message.ack()
        return answer

    async def drop(self, letter: DeadLetter) -> None:
        """Remove a letter for good."""
        await letter.message.ack()

    async def look(self, limit: int) -> None:
        """Take up to `limit` letters in hand."""
        held_bytes = 0
        while len(self.letters) < limit and held_bytes < MAX_HELD_BYTES:
            message = await self.queue.get(fail=False, timeout=BROKER_TIMEOUT_SECONDS)
            if message is None:
                break
            self._last = message
            self.letters.append(DeadLetter(message))
            held_bytes += len(message.body)
        # Where an operator was cut off, the queue gives them in another order.
        self.letters.sort(key=lambda letter: letter.died_at or LONG_AGO)
        left = await self.channel.declare_queue(topology.DEAD_QUEUE, passive=True)
        self.more = left.declaration_result.message_count or 0

    async def put_back(self) -> None:
        """Give back all that is still held, in its order.

        What is given back is put behind all that was given back before. So the others among
        these are taken in hand, too; those behind them nobody has looked at yet.
        """
        if self.channel.is_closed:  # and what was held, at its place again
            return
        last = self._last
        while last is not None and last.redelivered:
            last = await self.queue.get(fail=False, timeout=BROKER_TIMEOUT_SECONDS)
        underlay = await self.channel.get_underlay_channel()
        await underlay.basic_nack(0, multiple=True, requeue=True)

    async def _expect_replies(self) -> None:
        queue = await self.channel.declare_queue(topology.REPLIES_PREFIX + new_id(), exclusive=True)
        await queue.consume(self._receive, no_ack=True)
        self._reply_queue = queue.name

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        answer = self._replies.pop(message.correlation_id or "", None)
        if answer is not None and not answer.done():
            answer.set_result(json.loads(message.body))


@asynccontextmanager
async def opened(broker_url: str, limit: int) -> AsyncIterator[DeadLetterQueue]:
    """Hold up to `limit` dead letters. Nobody else sees these until the end."""
    connection = await aio_pika.connect(broker_url, timeout=BROKER_TIMEOUT_SECONDS)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.get_queue(topology.DEAD_QUEUE)
        account = unquote(urlsplit(broker_url).username or DEFAULT_ACCOUNT)
        shelf = DeadLetterQueue(channel, queue, account)
        try:
            await shelf.look(limit)
            yield shelf
        finally:
            await shelf.put_back()
