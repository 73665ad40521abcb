"""Sends the outcomes of decided messages: replies first, then acknowledgements, in bulk.

Each message needs a reply and an acknowledgement. Awaited one by one, they cost a worker more CPU
than the decision (decision 10). Here frames are written without awaiting the broker, replies to
one queue are merged where its owner asks for it, and one acknowledgement covers many messages.
"""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass

import aiormq
from pamqp.commands import Basic

from shared.outcomes import encode_merged_reply, encode_reply
from shared.topology import MERGE_REPLIES_HEADER
from worker.messaging.library_patches import Delivery
from worker.telemetry import UNACKED_MESSAGES

logger = logging.getLogger(__name__)

SEND_TIMEOUT_SECONDS = 5
"""How long writing to a connection may take. A dead connection, and one that the broker blocks
under an alarm, takes no more bytes once its buffers are full."""

MAX_REPLY_BYTES = 8 << 20
"""RabbitMQ 4 closes the channel over more than 16 MiB, and its messages would be redelivered
indefinitely."""


class AckBatcher:
    """Acknowledges the messages of one channel in the order of their delivery.

    An ack with `multiple=True` covers all tags up to one, so it stops before the first message
    that is not done.
    """

    def __init__(self, channel: aiormq.Channel) -> None:
        self.channel = channel
        self._done: set[int] = set()
        self._acknowledged = 0

    def mark_done(self, delivery_tag: int) -> None:
        """Note that the reply to a message has been sent."""
        self._done.add(delivery_tag)

    async def acknowledge(self) -> None:
        """Acknowledge all messages before the first that is not done."""
        last = self._acknowledged
        while last + 1 in self._done:
            last += 1
            self._done.remove(last)
        if last > self._acknowledged:
            self._acknowledged = last
            await self.channel.basic_ack(last, multiple=True, wait=False)


@dataclass(slots=True)
class PendingReply:
    """The outcomes of one message's commands, to be sent to its `reply_to`."""

    message: Delivery
    documents: list[str]
    acks: AckBatcher


class ReplySender:
    """Sends replies; those that arrive while it sends form the next batch."""

    def __init__(self) -> None:
        self._queue: deque[PendingReply] = deque()
        self._arrived = asyncio.Event()
        self._unacked = 0
        self._drained = asyncio.Event()
        self._drained.set()

    def expect(self) -> None:
        """Note that a message was delivered: `enqueue` with its reply will follow."""
        self._count(+1)

    def enqueue(self, reply: PendingReply) -> None:
        """Send a reply, and acknowledge its message, with the next batch."""
        self._queue.append(reply)
        self._arrived.set()

    async def drain(self) -> None:
        """Wait until the reply to every expected message has been sent."""
        await self._drained.wait()

    async def send(self) -> None:
        """Send replies until cancelled."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            replies = list(self._queue)
            self._queue.clear()
            for acks, group in _by_channel(replies):
                try:
                    async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                        await _send(acks, group)
                except Exception as error:
                    # The next replies must be sent whatever the error. Usually the channel has
                    # closed: its messages are redelivered, and their outcomes are recalled.
                    logger.warning(
                        "%d replies will be sent after redelivery: %r", len(group), error
                    )
                    await _close(acks.channel)
            self._count(-len(replies))

    def _count(self, change: int) -> None:
        self._unacked += change
        UNACKED_MESSAGES.set(self._unacked)
        if self._unacked:
            self._drained.clear()
        else:
            self._drained.set()


def _by_channel(replies: list[PendingReply]) -> list[tuple[AckBatcher, list[PendingReply]]]:
    """Group replies by the channel of their messages: one group, but after a reconnect."""
    groups: dict[AckBatcher, list[PendingReply]] = {}
    for reply in replies:
        groups.setdefault(reply.acks, []).append(reply)
    return list(groups.items())


async def _send(acks: AckBatcher, replies: list[PendingReply]) -> None:
    by_queue: dict[str, dict[str, list[str]]] = {}
    for reply in replies:
        message = reply.message
        if message.reply_to and MERGE_REPLIES_HEADER in message.headers:
            merged = by_queue.setdefault(message.reply_to, {})
            merged[message.correlation_id or ""] = reply.documents
        elif message.reply_to:
            body = encode_reply(reply.documents)
            await _publish(acks.channel, body, message.reply_to, message.correlation_id)
    for reply_to, merged in by_queue.items():
        for body in _merge(merged):
            await _publish(acks.channel, body, reply_to, None)
    for reply in replies:
        acks.mark_done(reply.message.delivery_tag)
    await acks.acknowledge()


def _merge(documents_by_id: dict[str, list[str]]) -> list[bytes]:
    """Return one body for the replies to several messages, or one each if it were too large."""
    together = encode_merged_reply(documents_by_id)
    if len(together) <= MAX_REPLY_BYTES:
        return [together]
    return [encode_merged_reply({id: documents}) for id, documents in documents_by_id.items()]


async def _close(channel: aiormq.Channel) -> None:
    """Close a channel: only then does the broker redeliver its unacknowledged messages."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            await channel.close()


async def _publish(
    channel: aiormq.Channel, body: bytes, reply_to: str, correlation_id: str | None
) -> None:
    """Send a reply. The broker drops it if its queue is gone: the outcome is in the read model."""
    if len(body) > MAX_REPLY_BYTES:
        logger.warning(
            "a reply of %d bytes is not sent: its outcomes are in the read model", len(body)
        )
        return
    await channel.basic_publish(
        body,
        routing_key=reply_to,
        properties=Basic.Properties(
            content_type="application/json", correlation_id=correlation_id, delivery_mode=1
        ),
        wait=False,
    )
