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
"""How long a connection may take what is written to it; a dead one takes nothing."""


MAX_REPLY_BYTES = 8 << 20
"""A broker closes the channel over a larger message (RabbitMQ 4: 16 MiB), and all that came through
it would come again, for ever."""


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
    """The outcomes of one message's commands, on their way to whoever asked."""

    message: Delivery
    documents: list[str]
    acknowledger: AckBatcher


class ReplySender:
    """Takes answers as they come, and sends what has gathered while it sent the last ones."""

    def __init__(self) -> None:
        self._waiting: deque[PendingReply] = deque()
        self._arrived = asyncio.Event()
        self._expected = 0
        self._none_expected = asyncio.Event()
        self._none_expected.set()

    def expect(self) -> None:
        """Note that a message was taken: an answer will follow."""
        self._count(+1)

    def put(self, answer: PendingReply) -> None:
        """Have an answer sent."""
        self._waiting.append(answer)
        self._arrived.set()

    async def all_sent(self) -> None:
        """Wait until every message that was taken is answered."""
        await self._none_expected.wait()

    async def send(self) -> None:
        """Send answers, for ever."""
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
                    # Whatever it is, the next answers must go out. Mostly the channel has closed:
                    # its messages come again, and are recalled.
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
    """The answers grouped by the channel of their messages: one, unless it was opened anew."""
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
    """The replies to several messages in one, or one each where that would be too large."""
    together = encode_merged_reply(replies)
    if len(together) <= MAX_REPLY_BYTES:
        return [together]
    return [encode_merged_reply({id: documents}) for id, documents in replies.items()]


async def _close(channel: aiormq.Channel) -> None:
    """Have the broker deliver again what is not acknowledged: on a live channel it never would."""
    with contextlib.suppress(Exception):
        async with asyncio.timeout(SEND_TIMEOUT_SECONDS):
            await channel.close()


async def _publish(
    channel: aiormq.Channel, body: bytes, reply_to: str, correlation_id: str | None
) -> None:
    """Send a reply. If its queue has gone it is dropped: the outcome is in the read model."""
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
