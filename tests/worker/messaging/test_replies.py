"""A broken channel delays no reply of another, and acknowledgements keep their order."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import pytest

from shared.topology import MERGE_REPLIES_HEADER
from tests.worker.harness import eventually
from worker.messaging import replies as sending
from worker.messaging.replies import AckBatcher, PendingReply, ReplySender


class Channel:
    """Records what is sent; raises `error` if there is one."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.replies: list[str] = []
        self.acknowledged: list[int] = []

    async def basic_publish(self, body: bytes, *, routing_key: str, **_: Any) -> None:
        if self.error:
            raise self.error
        self.replies.append(routing_key)

    async def basic_ack(self, delivery_tag: int, **_: Any) -> None:
        self.acknowledged.append(delivery_tag)


def reply(acks: AckBatcher, delivery_tag: int) -> PendingReply:
    message = SimpleNamespace(
        reply_to="replies", correlation_id="it", headers={}, delivery_tag=delivery_tag
    )
    return PendingReply(message, ["{}"], acks)


@pytest.fixture
async def sender() -> AsyncIterator[ReplySender]:
    sender = ReplySender()
    task = asyncio.create_task(sender.send())
    yield sender
    task.cancel()


@pytest.mark.parametrize("error", [RuntimeError("closed"), ValueError("a bug"), OSError("gone")])
async def test_a_broken_channel_blocks_no_other(sender: ReplySender, error: Exception) -> None:
    broken, sound = Channel(error), Channel()
    for channel in (broken, sound):
        sender.expect()
        sender.enqueue(reply(AckBatcher(channel), 1))
        async with asyncio.timeout(2):
            await sender.drain()

    assert broken.acknowledged == []
    assert (sound.replies, sound.acknowledged) == (["replies"], [1])


@pytest.mark.parametrize("merged", [False, True])
async def test_a_reply_too_large_for_the_broker_is_not_sent(
    sender: ReplySender, monkeypatch: pytest.MonkeyPatch, merged: bool
) -> None:
    """The broker would close the channel and redeliver all of its messages."""
    monkeypatch.setattr(sending, "MAX_REPLY_BYTES", 60)
    channel = Channel()
    acks = AckBatcher(channel)
    for delivery_tag, document in enumerate((["{}"] * 10, ["{}"] * 50, ["{}"] * 10), start=1):
        sender.expect()
        each = reply(acks, delivery_tag)
        each.documents = document
        if merged:
            each.message.headers[MERGE_REPLIES_HEADER] = True
            each.message.correlation_id = str(delivery_tag)
        sender.enqueue(each)
    async with asyncio.timeout(2):
        await sender.drain()

    assert len(channel.replies) == 2
    assert channel.acknowledged == [3]


async def test_a_message_answered_out_of_order_is_acknowledged_in_order(
    sender: ReplySender,
) -> None:
    channel = Channel()
    acks = AckBatcher(channel)
    for delivery_tag in (3, 2):
        sender.enqueue(reply(acks, delivery_tag))

    async def replied() -> bool:
        return len(channel.replies) == 2

    await eventually(replied)
    assert channel.acknowledged == []

    sender.enqueue(reply(acks, 1))

    async def acknowledged() -> bool:
        return channel.acknowledged == [3]

    await eventually(acknowledged)
