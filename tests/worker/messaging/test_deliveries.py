"""The first message on a channel, and those behind it, tell a worker the same."""

from types import SimpleNamespace
from typing import Any

from aio_pika import IncomingMessage
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from worker.messaging.deliveries import Delivery, bypass_faststream_decoding


def frames(channel: Any, delivery_tag: int, properties: Basic.Properties) -> DeliveredMessage:
    deliver = Basic.Deliver("worker 1", delivery_tag, False, "holdfast.commands", "command")
    return DeliveredMessage(deliver, ContentHeader(properties=properties), b"[]", channel)


async def both_ways(properties: Basic.Properties) -> list[Delivery]:
    taken: list[Delivery] = []

    async def handle(delivery: Delivery) -> None:
        taken.append(delivery)

    channel = SimpleNamespace(consumers={}, is_closed=False)
    subscriber: Any = SimpleNamespace()
    bypass_faststream_decoding(subscriber, handle)
    await subscriber.consume(IncomingMessage(frames(channel, 1, properties)))
    await channel.consumers["worker 1"](frames(channel, 2, properties))
    assert taken[0].channel is taken[1].channel is channel
    return taken


async def test_all_that_a_message_says_is_told() -> None:
    properties = Basic.Properties(
        reply_to="replies",
        correlation_id="1",
        user_id="gateway",
        headers={"x-delivery-count": 2},
    )
    for tag, delivery in enumerate(await both_ways(properties), start=1):
        assert (delivery.consumer_tag, delivery.delivery_tag) == ("worker 1", tag)
        assert (delivery.reply_to, delivery.correlation_id) == ("replies", "1")
        assert (delivery.user_id, delivery.headers) == ("gateway", {"x-delivery-count": 2})
        assert delivery.body == b"[]"


async def test_what_a_message_does_not_say_is_absent() -> None:
    for delivery in await both_ways(Basic.Properties()):
        assert (delivery.reply_to, delivery.correlation_id, delivery.user_id) == (None, None, None)
        assert delivery.headers == {}
