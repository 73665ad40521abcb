"""What the worker replaces in its client libraries, against the installed versions of these.

A failure after an upgrade says which of the assumptions of `library_patches` no longer holds.
"""

import asyncio
import struct
from types import SimpleNamespace
from typing import Any

import pytest
from aio_pika import IncomingMessage
from aiormq.abc import DeliveredMessage
from faststream.rabbit import RabbitBroker, RabbitQueue
from pamqp import frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from shared.ids import new_id
from worker.messaging.library_patches import (
    UNREADABLE_PROPERTIES,
    Delivery,
    bypass_faststream_decoding,
    tolerate_unreadable_properties,
)

MICROSECONDS = struct.pack(">HQ", 1 << 6, 1_790_000_000_000_000)
"""Encoded properties: a time stamp that pamqp cannot represent."""


def frames(channel: Any, delivery_tag: int, properties: Basic.Properties) -> DeliveredMessage:
    deliver = Basic.Deliver("worker 1", delivery_tag, False, "holdfast.commands", "command")
    return DeliveredMessage(deliver, ContentHeader(properties=properties), b"[]", channel)


async def by_both_paths(properties: Basic.Properties) -> list[Delivery]:
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


async def test_both_paths_deliver_the_same_properties() -> None:
    properties = Basic.Properties(
        reply_to="replies",
        correlation_id="1",
        user_id="gateway",
        headers={"x-delivery-count": 2},
    )
    for tag, delivery in enumerate(await by_both_paths(properties), start=1):
        assert (delivery.consumer_tag, delivery.delivery_tag) == ("worker 1", tag)
        assert (delivery.reply_to, delivery.correlation_id) == ("replies", "1")
        assert (delivery.user_id, delivery.headers) == ("gateway", {"x-delivery-count": 2})
        assert delivery.body == b"[]"


async def test_both_paths_deliver_none_for_an_absent_property() -> None:
    for delivery in await by_both_paths(Basic.Properties()):
        assert (delivery.reply_to, delivery.correlation_id, delivery.user_id) == (None, None, None)
        assert delivery.headers == {}


async def test_faststream_and_aiormq_deliver_through_what_the_patch_replaces(
    broker_url: str,
) -> None:
    broker = RabbitBroker(broker_url, logger=None)
    queue = RabbitQueue(new_id(), auto_delete=True)
    subscriber = broker.subscriber(queue)
    handled: asyncio.Queue[bytes] = asyncio.Queue()
    through_aio_pika: list[bytes] = []

    @subscriber
    async def decoded_by_faststream(message: Any) -> None:
        pytest.fail("FastStream no longer looks up `RabbitSubscriber.consume` on the object")

    async def handle(delivery: Delivery) -> None:
        await delivery.channel.basic_ack(delivery.delivery_tag, wait=False)
        handled.put_nowait(delivery.body)

    bypass_faststream_decoding(subscriber, handle)
    take_first: Any = subscriber.consume

    async def counting(message: IncomingMessage) -> None:
        through_aio_pika.append(message.body)
        await take_first(message)

    subscriber.consume = counting
    async with broker:
        await broker.start()
        for body in (b"1", b"2", b"3"):
            await broker.publish(body, queue)
            async with asyncio.timeout(5):
                assert await handled.get() == body
    assert through_aio_pika == [b"1"], "aiormq no longer delivers through `Channel.consumers`"


def encoded_header(properties: bytes) -> bytes:
    """The frame of a content header on channel 1: class 60 (basic), a body of 2 bytes."""
    payload = struct.pack(">HHQ", 60, 0, 2) + properties
    return struct.pack(">BHI", 2, 1, len(payload)) + payload + b"\xce"


@pytest.fixture
def patched_pamqp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContentHeader, "unmarshal", ContentHeader.unmarshal)  # restored after it
    tolerate_unreadable_properties()


@pytest.mark.usefixtures("patched_pamqp")
def test_pamqp_reads_a_header_with_properties_that_it_cannot_decode() -> None:
    _, channel, header = frame.unmarshal(encoded_header(MICROSECONDS))

    assert channel == 1
    assert isinstance(header, ContentHeader)
    assert header.body_size == 2, "pamqp no longer reads the size before the properties"
    assert header.properties.headers == {UNREADABLE_PROPERTIES: True}, (
        "pamqp no longer decodes the properties in `ContentHeader.unmarshal`"
    )
