"""A broker in memory: keeps confirmed messages; loses, repeats and delays others."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from json import JSONDecoder
from typing import Any, Protocol

from aiormq.exceptions import ChannelInvalidStateError

from reliability.simulation.faults import Faults, Victim, forever
from shared.topology import DELIVERY_COUNT_HEADER, DELIVERY_LIMIT

TRIP_SECONDS = 0.1
"""How long a message may be on its way to the broker, and a reply from it: others overtake it."""
DELIVERY_SECONDS = 0.01


class UnknownError(Exception):
    """No confirm came: the message may be on disk, or not."""


@dataclass(eq=False)
class Message:
    """A message in the queue of commands."""

    body: bytes
    reply_to: str | None
    correlation_id: str | None
    headers: dict[str, Any]
    command_ids: tuple[str, ...]
    """Of those that can be read."""
    deliveries: int = 0


@dataclass(eq=False)
class Delivery:
    """A message as a consumer gets it, like `worker.messaging.library_patches.Delivery`."""

    message: Message
    channel: "Channel"
    delivery_tag: int
    consumer_tag: str = "worker"
    user_id: str | None = None

    @property
    def body(self) -> bytes:
        return self.message.body

    @property
    def reply_to(self) -> str | None:
        return self.message.reply_to

    @property
    def correlation_id(self) -> str | None:
        return self.message.correlation_id

    @property
    def headers(self) -> dict[str, Any]:
        # As a quorum queue counts: every delivery but this one.
        earlier = self.message.deliveries - 1
        return (
            self.message.headers | {DELIVERY_COUNT_HEADER: earlier}
            if earlier
            else (self.message.headers)
        )


class Consumer(Victim, Protocol):
    """The worker that a channel belongs to."""

    is_dead: bool
    faults: Faults


class Watcher(Protocol):
    """Checks the messages that the broker receives."""

    def on_reply(self, documents: list[str]) -> None: ...
    def on_acknowledged(self, message: Message) -> None: ...
    def on_delivery_limit(self, message: Message) -> None: ...


@dataclass(eq=False)
class Broker:
    """The queue of commands, the dead letters, and the consumers of replies."""

    faults: Faults
    watcher: Watcher
    take_reply: Callable[[str, list[str]], None]
    pick: Callable[[int], int]
    """Chooses one of so many."""
    ready: deque[Message] = field(default_factory=deque)
    channels: list["Channel"] = field(default_factory=list)
    dead_letters: list[bytes] = field(default_factory=list)
    is_down: bool = False

    async def publish(self, message: Message) -> None:
        """Return when the broker has confirmed a message."""
        await asyncio.sleep(self.faults.delay(TRIP_SECONDS))
        if self.is_down or self.faults.loses():
            raise UnknownError
        self.ready.append(message)
        if self.faults.loses():
            self.ready.append(replace(message))
        self.deliver()
        if self.faults.loses():
            raise UnknownError

    def deliver(self) -> None:
        """Push waiting messages to consumers with free prefetch."""
        while self.ready:
            open_channels = [c for c in self.channels if c.has_room()]
            if not open_channels:
                return
            channel = open_channels[self.pick(len(open_channels))]
            channel.push(self.ready.popleft())

    def reply(self, body: bytes, correlation_id: str | None) -> None:
        """Deliver a reply to its client, or lose it."""
        for answered, documents in split_reply(body.decode(), correlation_id):
            self.watcher.on_reply(documents)
            if not self.faults.loses():
                delay_seconds = self.faults.delay(TRIP_SECONDS)
                loop = asyncio.get_running_loop()
                loop.call_later(delay_seconds, self.take_reply, answered, documents)

    @property
    def unacknowledged(self) -> int:
        return sum(len(channel.unacknowledged) for channel in self.channels)


_JSON = JSONDecoder()


def split_reply(text: str, correlation_id: str | None) -> list[tuple[str, list[str]]]:
    """The documents of a reply to the letter, by the correlation ID that they answer."""
    if correlation_id is not None:
        return [(correlation_id, _split_array(text, 0)[0])]
    replies, at = [], 1
    while at < len(text):
        answered, at = _JSON.raw_decode(text, at)
        documents, at = _split_array(text, at + 1)
        replies.append((answered, documents))
        at += 1
    return replies


def _split_array(text: str, at: int) -> tuple[list[str], int]:
    documents, at = [], at + 1
    while text[at - 1] != "]":
        end = _JSON.raw_decode(text, at)[1]
        documents.append(text[at:end])
        at = end + 1
    return documents, at


class Channel:
    """A worker's channel: `aiormq.Channel` as far as the worker knows it."""

    def __init__(self, broker: Broker, consumer: Consumer, prefetch: int) -> None:
        self._broker = broker
        self._consumer = consumer
        self._prefetch = prefetch
        self._last_tag = 0
        self._inbox: deque[Delivery] = deque()
        self._arrived = asyncio.Event()
        self.unacknowledged: dict[int, Message] = {}
        self.is_closed = False
        self.is_consumed = True
        self.has_delivered = False
        broker.channels.append(self)
        broker.deliver()

    # --- the broker's side ------------------------------------------------------------------

    def has_room(self) -> bool:
        return self.is_consumed and len(self.unacknowledged) < self._prefetch

    def push(self, message: Message) -> None:
        self._last_tag += 1
        message.deliveries += 1
        if message.deliveries > DELIVERY_LIMIT:
            self._broker.watcher.on_delivery_limit(message)
        self.unacknowledged[self._last_tag] = message
        self._inbox.append(Delivery(message, self, self._last_tag))
        self._arrived.set()

    def drop(self) -> None:
        """Requeue the unacknowledged messages."""
        if self.is_closed:
            return
        self.is_closed, self.is_consumed = True, False
        self._arrived.set()
        broker = self._broker
        broker.channels.remove(self)
        broker.ready.extendleft(reversed(self.unacknowledged.values()))
        self.unacknowledged = {}
        broker.deliver()

    # --- the worker's side ------------------------------------------------------------------

    async def deliveries(self, handle: Callable[[Any], Any]) -> None:
        """Deliver messages in order until the channel closes."""
        while not self.is_closed:
            await self._arrived.wait()
            self._arrived.clear()
            await asyncio.sleep(self._consumer.faults.delay(DELIVERY_SECONDS))
            await self._consumer.go_on()
            while self._inbox and not self.is_closed:
                await handle(self._inbox.popleft())
                self.has_delivered = True

    async def close(self) -> None:
        self.drop()

    async def basic_cancel(self, consumer_tag: str) -> None:
        """Take no more; what was pushed before the broker heard of it still arrives."""
        await self._travel("cancel")
        self.is_consumed = False
        while self._inbox and not self.is_closed:
            await asyncio.sleep(DELIVERY_SECONDS)

    async def basic_publish(
        self, body: bytes, *, routing_key: str, properties: Any, wait: bool
    ) -> None:
        await self._travel("reply")
        self._broker.reply(body, properties.correlation_id)
        await self._consumer.faults.at_write("after reply", self._consumer)

    async def basic_ack(self, delivery_tag: int, *, multiple: bool, wait: bool) -> None:
        await self._travel("acknowledge")
        for tag in list(self.unacknowledged):
            if tag == delivery_tag or (multiple and tag < delivery_tag):
                self._broker.watcher.on_acknowledged(self.unacknowledged.pop(tag))
        self._broker.deliver()
        await self._consumer.faults.at_write("after acknowledge", self._consumer)

    async def _travel(self, what: str) -> None:
        # Nobody is stopped here: a frame is written without a wait.
        if self._consumer.is_dead:
            await forever()
        await self._consumer.faults.at_write(f"before {what}", self._consumer)
        if self.is_closed:
            raise ChannelInvalidStateError
