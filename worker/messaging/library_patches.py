"""What the worker replaces in FastStream, aio-pika and pamqp; all of it stands in this module.

`bypass_faststream_decoding` replaces `RabbitSubscriber.consume` of FastStream and, after the first
message of a channel, the consumer that aio-pika registered in `aiormq.Channel.consumers`.
FastStream still declares, consumes, reconnects and documents. Its contexts, middlewares and
decoding, and the message object of aio-pika, serve no purpose here and cost 25 µs a message
(decision 10).

`tolerate_unreadable_properties` replaces `ContentHeader.unmarshal` of pamqp, which offers no hook
for errors. aiormq closes the connection over properties that pamqp cannot decode: a time stamp in
microseconds, a text that is not UTF-8, headers that are nested too deeply. One such message would
have all unacknowledged messages redelivered until the delivery limit (decision 5).

`tests/worker/messaging/test_library_patches.py` fails when a new version of a library changes what
this module relies on. `pyproject.toml` therefore bounds the four libraries by minor version.
"""

from dataclasses import dataclass
from typing import Any, Protocol, cast

from aio_pika import IncomingMessage
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from faststream.rabbit.subscriber import RabbitSubscriber
from pamqp.commands import Basic
from pamqp.header import ContentHeader

UNREADABLE_PROPERTIES = "x-unreadable-properties"
"""A header that takes the place of all properties that could not be decoded."""

_unmarshal = ContentHeader.unmarshal


@dataclass(slots=True)
class Delivery:
    """The parts of a message that a worker reads."""

    channel: Channel
    consumer_tag: str
    delivery_tag: int
    body: bytes
    reply_to: str | None
    correlation_id: str | None
    user_id: str | None
    """The account at the broker that published it, where the message names one. The broker
    has verified it."""
    headers: dict[str, Any]


class Handle(Protocol):
    """Handles a delivery."""

    async def __call__(self, delivery: Delivery, /) -> None: ...


def bypass_faststream_decoding(subscriber: RabbitSubscriber, handle: Handle) -> None:
    """Pass the messages of `subscriber` to `handle` alone.

    The first message of each channel comes through aio-pika. It gives access to the channel, on
    which `handle` then receives the messages that follow.
    """

    async def take_first(message: IncomingMessage) -> None:
        channel = cast("Channel", message.channel)
        consumer_tag = message.consumer_tag or ""
        channel.consumers[consumer_tag] = take
        await handle(
            Delivery(
                channel,
                consumer_tag,
                message.delivery_tag or 0,
                message.body,
                message.reply_to,
                message.correlation_id,
                message.user_id,
                message.headers,
            )
        )

    async def take(message: DeliveredMessage) -> None:
        properties = message.header.properties
        await handle(
            Delivery(
                cast("Channel", message.channel),
                message.consumer_tag or "",
                message.delivery_tag or 0,
                message.body,
                properties.reply_to,
                properties.correlation_id,
                properties.user_id,
                properties.headers or {},
            )
        )

    # FastStream looks the method up on the object whenever it begins to consume.
    subscriber.consume = take_first  # type: ignore[method-assign, assignment]  # FastStream has no hook for it


def tolerate_unreadable_properties() -> None:
    """Deliver messages whose properties cannot be decoded, for the life of the process.

    They have the header `UNREADABLE_PROPERTIES` and no other property.
    """
    ContentHeader.unmarshal = _unmarshal_any  # type: ignore[method-assign]  # pamqp has no hook for errors


def _unmarshal_any(self: ContentHeader, data: bytes) -> None:
    try:
        _unmarshal(self, data)
    except Exception:
        if self.class_id is None:  # the frame is broken: not even the size of the body is known
            raise
        self.properties = Basic.Properties(headers={UNREADABLE_PROPERTIES: True})
