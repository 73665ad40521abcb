"""Messages as the broker's frames tell them, past what lies between these and the handler.

FastStream declares, consumes, reconnects and documents. What it would do with each message
(contexts, middlewares, decoding) none of ours needs, nor aio-pika's object of some thirty
attributes: together a third of what a message of one command cost a worker.
"""

from dataclasses import dataclass
from typing import Any, Protocol, cast

from aio_pika import IncomingMessage
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from faststream.rabbit.subscriber import RabbitSubscriber


@dataclass(slots=True)
class Delivery:
    """What a worker needs of a message."""

    channel: Channel
    consumer_tag: str
    delivery_tag: int
    body: bytes
    reply_to: str | None
    correlation_id: str | None
    user_id: str | None
    """As whom the sender logged in to the broker, where the message says so."""
    headers: dict[str, Any]


class Handle(Protocol):
    """Takes a delivery."""

    async def __call__(self, delivery: Delivery) -> None: ...


def bypass_faststream_decoding(subscriber: RabbitSubscriber, handle: Handle) -> None:
    """Have the messages of a subscriber come to `handle` and nobody else.

    The first message on each channel still comes through aio-pika, and shows the channel: those
    behind it are taken from there.
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

    # A method to the types; FastStream looks it up on the object whenever it begins to consume.
    subscriber.consume = take_first  # type: ignore[method-assign, assignment]
