"""Sends what was decided: replies first, then acknowledgements, in bulk.

A message costs a reply and an acknowledgement. Sent one by one, with a wait after each, they
cost a worker more than the decision; here frames are written without a wait, replies to one
queue go together where its owner asks for it, and one acknowledgement covers many messages.
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
"""How long a connection may take to accept what is written to it; a dead one never does."""


MAX_REPLY_BYTES = 8 << 20
"""A broker closes the channel over a larger message (RabbitMQ 4: 16 MiB), and all messages of the
channel would be redelivered indefinitely."""


class AckBatcher:
    """Acknowledges the messages of one channel in the order in which they came.

    "Multiple" covers all messages up to one, so it reaches only as far as every message is
    settled; one that was settled out of turn waits for those before it.
    """

    def __init__(self, channel: aiormq.Channel) -> None:
        self.channel = channel
        self._settled: set[int] = set()
        self._acknowledged = 0

    def settle(self, delivery_tag: int) -> None:
        """Note that a message has its answer."""
        self._settled.add(delivery_tag)

    async def acknowledge(self) -> None:
        """Acknowledge as far as every message is settled."""
        last = self._acknowledged
        while last + 1 in self._settled:
            last += 1
            self._settled.remove(last)
        if last > self._acknowledged:
            self._acknowledged = last
            await self.channel.basic_ack(last, multiple=True, wait=False)


@dataclass(slots=True)
class PendingReply:
    """The outcomes of one message's commands, to be sent to its sender."""

    message: Delivery
    documents: list[str]
    acknowledger: AckBatcher


class ReplySender:
    """Sends replies; those that arrive during one round are sent together in the next."""

    def __init__(self) -> None:
        self._waiting: deque[PendingReply] = deque()
        self._arrived = asyncio.Event()
        self._expected = 0
        self._none_expected = asyncio.Event()
        self._none_expected.set()

    def expect(self) -> None:
        """Note that a message was taken: its reply will follow."""
        self._count(+1)

    def put(self, answer: PendingReply) -> None:
        """Queue a reply."""
        self._waiting.append(answer)
        self._arrived.set()

    async def all_sent(self) -> None:
        """Wait until every message that was taken is answered."""
        await self._none_expected.wait()

    async def send(self) -> None:
        """Send replies, indefinitely."""
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            answers = list(self._waiting)
            self._waiting.clear()
            for acknowledger, group in _by_channel(answers):
                try:
                    async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
                        await _send(acknowledger, group)
                except Exception as error:
                    # No error may stop the next replies. Mostly the channel has closed: then its
                    # messages are delivered again, and their outcomes recalled.
                    logger.warning("%d answers are left to a next delivery: %r", len(group), error)
                    await _close(acknowledger.channel)
            self._count(-len(answers))

    def _count(self, change: int) -> None:
        self._expected += change
        UNACKED_MESSAGES.set(self._expected)
        if self._expected:
            self._none_expected.clear()
        else:
            self._none_expected.set()


def _by_channel(answers: list[PendingReply]) -> list[tuple[AckBatcher, list[PendingReply]]]:
    """Group replies by the channel of their messages: one, unless it was reopened."""
    groups: dict[AckBatcher, list[PendingReply]] = {}
    for answer in answers:
        groups.setdefault(answer.acknowledger, []).append(answer)
    return list(groups.items())


async def _send(acknowledger: AckBatcher, answers: list[PendingReply]) -> None:
    merged: dict[str, dict[str, list[str]]] = {}
    for answer in answers:
        message = answer.message
        if message.reply_to and MERGE_REPLIES_HEADER in message.headers:
            replies = merged.setdefault(message.reply_to, {})
            replies[message.correlation_id or ""] = answer.documents
        elif message.reply_to:
            reply = encode_reply(answer.documents)
            await _publish(acknowledger.channel, reply, message.reply_to, message.correlation_id)
    for reply_to, replies in merged.items():
        for reply in _merge(replies):
            await _publish(acknowledger.channel, reply, reply_to, None)
    for answer in answers:
        acknowledger.settle(answer.message.delivery_tag)
    await acknowledger.acknowledge()


def _merge(replies: dict[str, list[str]]) -> list[bytes]:
    """Merge the replies to several messages, or make one each if that would be too large."""
    together = encode_merged_reply(replies)
    if len(together) <= MAX_REPLY_BYTES:
        return [together]
    return [encode_merged_reply({id: documents}) for id, documents in replies.items()]


async def _close(channel: aiormq.Channel) -> None:
    """Make the broker redeliver unacknowledged messages, which it never does on a live channel."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            await channel.close()


async def _publish(
    channel: aiormq.Channel, body: bytes, reply_to: str, correlation_id: str | None
) -> None:
    """Send a reply. The broker drops it if its queue is gone: the outcome is in the read model."""
    if len(body) > MAX_REPLY_BYTES:
        logger.warning("a reply of %d bytes is left to the read model", len(body))
        return
    await channel.basic_publish(
        body,
        routing_key=reply_to,
        properties=Basic.Properties(
            content_type="application/json", correlation_id=correlation_id, delivery_mode=1
        ),
        wait=False,
    )
