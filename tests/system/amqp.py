"""A client of the queue, as section 3 of the contract describes one."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractConnection, AbstractIncomingMessage, AbstractQueue
from yarl import URL

from shared.ids import new_id

EXCHANGE = "holdfast.commands"
ROUTING_KEY = "commands"
QUEUE = "holdfast.commands"
DEAD = "holdfast.dead"
CONFIRM_SECONDS = 10
REPLY_SECONDS = 20

Document = dict[str, Any]


def command(kind: str, user_id: str, **fields: Any) -> Document:
    """A command as it goes over the wire, under a fresh ID unless `fields` name one."""
    return {
        "kind": kind,
        "command_id": new_id(),
        "user_id": user_id,
        "submitted_at": datetime.now(UTC).isoformat(),
        **fields,
    }


def reservation(user_id: str, ticket_type_id: str, quantity: int = 1, **fields: Any) -> Document:
    items = [{"ticket_type_id": ticket_type_id, "quantity": quantity}]
    return command("reserve_tickets", user_id, items=items, **fields)


class Queue:
    """Publishes commands with confirm and mandatory, and takes the replies by correlation ID."""

    def __init__(self, broker_url: str, *, reply_seconds: float = REPLY_SECONDS) -> None:
        self.url = broker_url
        self._reply_seconds = reply_seconds
        self._awaited: dict[str, asyncio.Future[bytes]] = {}
        self._connection: AbstractConnection
        self.channel: AbstractChannel
        self._replies: AbstractQueue

    async def __aenter__(self) -> Self:
        # The event loop stands still between tests, for minutes while another process runs alone.
        # The broker would close a connection that sends no heartbeats meanwhile.
        url = URL(self.url).update_query(heartbeat=0)
        self._connection = await aio_pika.connect(url, timeout=CONFIRM_SECONDS)
        self.channel = await self._connection.channel(
            publisher_confirms=True, on_return_raises=True
        )
        self._replies = await self.channel.declare_queue(exclusive=True, auto_delete=True)
        await self._replies.consume(self._take_reply, no_ack=True)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def decide(self, *commands: Document) -> list[Document]:
        """Publish the commands in one message and await their outcomes."""
        outcomes: list[Document] = json.loads(await self.ask(json.dumps(commands).encode()))
        return outcomes

    async def decide_one(self, one: Document) -> Document:
        (outcome,) = await self.decide(one)
        return outcome

    async def hand_in(self, *commands: Document) -> None:
        """Publish without asking for a reply; returns once the broker has confirmed."""
        await self._publish(json.dumps(commands).encode())

    async def ask(
        self,
        body: bytes,
        correlation_id: str | None = None,
        confirmed: Callable[[], None] = lambda: None,
    ) -> bytes:
        """Publish any body and await the bytes of the reply."""
        correlation_id = correlation_id or str(uuid4())
        reply: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._awaited[correlation_id] = reply
        try:
            await self._publish(body, reply_to=self._replies.name, correlation_id=correlation_id)
            confirmed()
            async with asyncio.timeout(self._reply_seconds):
                return await reply
        finally:
            del self._awaited[correlation_id]

    async def _publish(self, body: bytes, **properties: str) -> None:
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=str(uuid4()),
            **properties,
        )
        exchange = await self.channel.get_exchange(EXCHANGE, ensure=False)
        await exchange.publish(message, ROUTING_KEY, mandatory=True, timeout=CONFIRM_SECONDS)

    async def _take_reply(self, message: AbstractIncomingMessage) -> None:
        reply = self._awaited.get(message.correlation_id or "")
        if reply is not None and not reply.done():
            reply.set_result(message.body)

    async def take_dead_letter(self, correlation_id: str) -> AbstractIncomingMessage:
        """Take dead letters until the one that came of this message."""
        dead = await self.channel.get_queue(DEAD, ensure=False)
        async with asyncio.timeout(REPLY_SECONDS):
            while True:
                letter = await dead.get(fail=False)
                if letter is None:
                    await asyncio.sleep(0.02)
                    continue
                await letter.ack()
                if letter.correlation_id == correlation_id:
                    return letter
