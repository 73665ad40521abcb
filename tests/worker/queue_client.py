"""A client of the queue that speaks the contract and nothing else."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Self

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage
from aiormq.exceptions import ChannelNotFoundEntity

from shared import topology
from shared.commands import Command, encode_commands
from shared.ids import new_id


class QueueClient:
    def __init__(self, connection: AbstractConnection, channel: AbstractChannel) -> None:
        self.connection = connection
        self.channel = channel
        self.reply_queue = ""
        self.replies: list[AbstractIncomingMessage] = []
        self._arrived = asyncio.Condition()

    @classmethod
    @asynccontextmanager
    async def connected(cls, broker_url: str) -> AsyncIterator[Self]:
        connection = await aio_pika.connect(broker_url)
        async with connection:
            client = cls(connection, await connection.channel(on_return_raises=True))
            queue = await client.channel.declare_queue(exclusive=True)
            client.reply_queue = queue.name
            await queue.consume(client._receive, no_ack=True)
            yield client

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        async with self._arrived:
            self.replies.append(message)
            self._arrived.notify_all()

    async def publish(self, content: bytes | Sequence[Command], **properties: Any) -> str:
        """Publish a message with confirm, and return its correlation ID."""
        body = content if isinstance(content, bytes) else encode_commands(list(content))
        correlation_id = new_id()
        given = {
            "content_type": "application/json",
            "delivery_mode": 2,
            "message_id": new_id(),
            "reply_to": self.reply_queue,
            "correlation_id": correlation_id,
        } | properties
        exchange = await self.channel.get_exchange(topology.COMMANDS_EXCHANGE, ensure=False)
        message = aio_pika.Message(body, **given)
        await exchange.publish(message, topology.COMMANDS_ROUTING_KEY)
        return correlation_id

    async def reply_to(self, correlation_id: str, within_seconds: float = 10) -> str:
        """The body of the reply with this correlation ID."""

        def bodies() -> list[str]:
            return [r.body.decode() for r in self.replies if r.correlation_id == correlation_id]

        async with asyncio.timeout(within_seconds), self._arrived:
            await self._arrived.wait_for(lambda: bool(bodies()))
        (body,) = bodies()
        return body

    async def ask(self, content: bytes | Sequence[Command], **properties: Any) -> list[Any]:
        """Publish and return the outcome documents of the reply."""
        answer = json.loads(await self.reply_to(await self.publish(content, **properties)))
        assert isinstance(answer, list)
        return answer

    async def ready_messages(self, queue: str = topology.COMMANDS_QUEUE) -> int | None:
        """How many messages wait in a queue to be delivered; None where there is no queue."""
        async with await self.connection.channel() as channel:
            try:
                declared = await channel.declare_queue(queue, passive=True)
            except ChannelNotFoundEntity:
                return None
            return declared.declaration_result.message_count

    async def dead_letters(self, count: int, within_seconds: float = 5) -> list[Any]:
        """Take `count` dead letters."""
        queue = await self.channel.get_queue(topology.DEAD_QUEUE)
        letters: list[Any] = []
        async with asyncio.timeout(within_seconds):
            while len(letters) < count:
                if letter := await queue.get(no_ack=True, fail=False):
                    letters.append(letter)
                else:
                    await asyncio.sleep(0.02)
        return letters

    async def no_more_dead_letters(self) -> bool:
        return await self.ready_messages(topology.DEAD_QUEUE) == 0
