"""Publishes messages and receives replies, on a connection that reconnects."""

import asyncio
import json
import random
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from typing import Self

import aio_pika
from aio_pika.abc import AbstractExchange, AbstractIncomingMessage
from aio_pika.exceptions import AMQPError

from shared.ids import new_id
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY

CONNECT_SECONDS = 5.0
CONFIRM_SECONDS = 3.0
RECONNECT_SECONDS = 0.1
MAX_EXPECTED = 20_000
"""How many messages are remembered while their replies are outstanding."""
LATE_SECONDS = 1.0
"""How much later than the first a copy may be published."""

OnReply = Callable[[list[str]], None]
"""Takes the outcome documents of a message, unparsed, in the order of its commands."""

BROKEN = (AMQPError, OSError, TimeoutError, RuntimeError)


class QueueClient:
    def __init__(self, broker_url: str, rng: random.Random) -> None:
        self.copies = 1
        """How often each message is published."""
        self._url = broker_url
        self._rng = rng
        self._exchange: AbstractExchange | None = None
        self._reply_to = ""
        self._expected: OrderedDict[str, OnReply] = OrderedDict()
        self._running: asyncio.Task[None]
        self._late: set[asyncio.Task[bool]] = set()

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in (self._running, *self._late):
            task.cancel()
        await asyncio.wait([self._running])

    async def publish(self, body: bytes, on_reply: OnReply) -> bool:
        """Publish a message; False if it is unknown whether the broker has it.

        Replies may come before it returns, and long after, and more than one.
        """
        for _ in range(self.copies - 1):
            task = asyncio.create_task(self._publish_late(body, on_reply))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        return await self._publish(body, on_reply)

    async def copies_published(self) -> None:
        if self._late:
            await asyncio.wait(self._late)

    async def _publish_late(self, body: bytes, on_reply: OnReply) -> bool:
        await asyncio.sleep(self._rng.uniform(0, LATE_SECONDS))
        return await self._publish(body, on_reply)

    async def _publish(self, body: bytes, on_reply: OnReply) -> bool:
        if (exchange := self._exchange) is None:
            return False
        correlation_id = new_id()
        self._expected[correlation_id] = on_reply
        if len(self._expected) > MAX_EXPECTED:
            self._expected.popitem(last=False)
        message = aio_pika.Message(
            body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            message_id=new_id(),
            correlation_id=correlation_id,
            reply_to=self._reply_to,
        )
        # aio-pika cancels tasks that wait on a lost connection; this protects the caller.
        publishing = asyncio.ensure_future(
            exchange.publish(message, COMMANDS_ROUTING_KEY, mandatory=True, timeout=CONFIRM_SECONDS)
        )
        try:
            await asyncio.wait([publishing], timeout=CONFIRM_SECONDS + 1)
        finally:
            publishing.cancel()
        if not publishing.done() or publishing.cancelled():
            return False
        error = publishing.exception()
        if error is not None and not isinstance(error, BROKEN):
            raise error
        return error is None

    async def _run(self) -> None:
        while True:
            session = asyncio.ensure_future(self._session())
            try:
                await asyncio.wait([session])
            finally:
                self._exchange = None
                session.cancel()
            error = None if session.cancelled() else session.exception()
            if error is not None and not isinstance(error, BROKEN):
                raise error
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _session(self) -> None:
        connection = await aio_pika.connect(self._url, timeout=CONNECT_SECONDS)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
                replies = await channel.declare_queue(exclusive=True, auto_delete=True)
                await replies.consume(self._take_reply, no_ack=True)
                self._reply_to = replies.name
                self._exchange = await channel.get_exchange(COMMANDS_EXCHANGE, ensure=False)
            await channel.closed()
        finally:
            with suppress(*BROKEN, asyncio.CancelledError):
                async with asyncio.timeout(1):
                    await connection.close()

    async def _take_reply(self, message: AbstractIncomingMessage) -> None:
        on_reply = self._expected.get(message.correlation_id or "")
        if on_reply is not None:
            on_reply(documents(message.body.decode()))


def documents(reply: str) -> list[str]:
    """Take a reply apart without changing a letter of its documents."""
    decoder = json.JSONDecoder()
    found: list[str] = []
    at = 1  # behind the bracket
    while reply[at] != "]":
        _, end = decoder.raw_decode(reply, at)
        found.append(reply[at:end])
        at = end + (reply[end] == ",")
    return found
