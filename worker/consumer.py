"""The way of a message: read it, have its commands decided, answer, acknowledge; in that order.

Nothing here is left to defaults that lose messages: acknowledgement is ours alone and
comes last, and dead letters are published with confirms, persistent and mandatory.
"""

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Any, cast

from aio_pika import IncomingMessage
from aiormq.exceptions import ChannelInvalidStateError
from faststream import AckPolicy
from faststream.message import StreamMessage
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitExchange, RabbitQueue
from pamqp.commands import Basic

from shared import topology
from shared.commands import Command, Unreadable, encode_commands, read_commands
from shared.ids import MAX_AHEAD_SECONDS, first_id_at, new_id
from shared.outcomes import Unprocessable, encode_outcome, encode_reply, refused
from worker.committer import Committer
from worker.telemetry import DEAD_LETTERS, MESSAGES_IN_HAND

if TYPE_CHECKING:
    from faststream.rabbit.schemas.queue import QuorumQueueArgs

logger = logging.getLogger(__name__)

PREFETCH_MESSAGES = 1_000
"""Two full batches of one-command messages; what waits beyond stays with the broker."""

DRAIN_SECONDS = 20
PAUSE_BEFORE_REQUEUE_SECONDS = 1
DEAD_LETTER_TIMEOUT_SECONDS = 5
MAX_ERROR_CHARACTERS = 2_000
"""Of a header: the broker closes the connection over headers that exceed one frame, 128 KiB."""
CLOCK_TOLERANCE_SECONDS = 30
"""How far the clocks of a gateway and a worker may be apart."""

IS_UNPROCESSABLE = f'"code":"{Unprocessable().code}"'
"""Stands in an outcome document only as its refusal's code: in text, quotes are escaped."""

COMMANDS_EXCHANGE = RabbitExchange(topology.COMMANDS_EXCHANGE, durable=True)
COMMANDS_QUEUE = RabbitQueue(
    topology.COMMANDS_QUEUE,
    QueueType.QUORUM,
    routing_key=topology.COMMANDS_ROUTING_KEY,
    arguments=cast("QuorumQueueArgs", topology.COMMANDS_ARGUMENTS),
)
DEAD_EXCHANGE = RabbitExchange(topology.DEAD_EXCHANGE, durable=True)
DEAD_QUEUE = RabbitQueue(
    topology.DEAD_QUEUE,
    QueueType.QUORUM,
    routing_key=topology.DEAD_ROUTING_KEY,
    arguments=cast("QuorumQueueArgs", topology.DEAD_ARGUMENTS),
)


class Consumer:
    """Takes messages from the queue of commands and hands them to the committer."""

    def __init__(self, broker: RabbitBroker, committer: Committer) -> None:
        self._broker = broker
        self._committer = committer
        self._consumed: IncomingMessage | None = None
        self._in_hand = 0
        self._idle = asyncio.Event()
        self._idle.set()
        broker.subscriber(
            COMMANDS_QUEUE,
            COMMANDS_EXCHANGE,
            # Replies leave through this channel, too. Nobody waits for their confirms: a reply
            # that is lost is found in the read model.
            channel=Channel(prefetch_count=PREFETCH_MESSAGES, publisher_confirms=False),
            codec=WholeMessage(),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            title="commands",
            description="Commands, 1 to 100 a message; the reply holds an outcome for each.",
        )(self.handle)

    async def handle(self, message: Any) -> None:
        """Decide the commands of one message, answer, and acknowledge."""
        raw: IncomingMessage = message.raw_message
        self._consumed = raw
        self._count(+1)
        try:
            await self._settle(raw)
        except ChannelInvalidStateError:
            logger.info("a message is left to its next delivery: its channel has closed")
        except Exception:
            logger.exception("a message is put back")
            await asyncio.sleep(PAUSE_BEFORE_REQUEUE_SECONDS)
            await raw.reject(requeue=True)
        finally:
            self._count(-1)

    async def drain(self) -> None:
        """Take no more messages, and wait until those in hand are answered.

        Without the cancellation the broker would go on pushing, and what it pushed in
        vain would come back with a delivery counted.
        """
        if self._consumed is not None and self._consumed.consumer_tag is not None:
            with contextlib.suppress(ChannelInvalidStateError):  # closed since that message
                await self._consumed.channel.basic_cancel(self._consumed.consumer_tag)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._idle.wait()

    def _count(self, change: int) -> None:
        self._in_hand += change
        MESSAGES_IN_HAND.set(self._in_hand)
        if self._in_hand:
            self._idle.clear()
        else:
            self._idle.set()

    async def _settle(self, raw: IncomingMessage) -> None:
        entries = _refuse_future(read_commands(raw.body))
        commands = [entry for entry in entries if not isinstance(entry, Unreadable)]
        decided = iter(await self._committer.decide(commands) if commands else ())
        documents: list[str] = []
        for entry in entries:
            if isinstance(entry, Unreadable):
                await self._bury(raw, entry.body, "unreadable", entry.error)
                reason = Unprocessable(f"The command could not be read: {entry.error}")
                documents.append(encode_outcome(refused(entry, reason, decided_at=None)))
                continue
            document = next(decided)
            if IS_UNPROCESSABLE in document:
                await self._bury(raw, encode_commands([entry]), "unprocessable", document)
            documents.append(document)
        if raw.reply_to:
            await _reply(raw, encode_reply(documents))
        await raw.ack()

    async def _bury(self, raw: IncomingMessage, body: bytes, reason: str, error: str) -> None:
        """Copy what cannot be applied to the dead letters; raises when that is not confirmed."""
        DEAD_LETTERS.labels(reason).inc()
        logger.warning("a command goes to the dead letters (%s): %s", reason, error)
        await self._broker.publish(
            body,
            DEAD_QUEUE,
            DEAD_EXCHANGE,
            routing_key=topology.DEAD_ROUTING_KEY,
            persist=True,
            mandatory=True,
            timeout=DEAD_LETTER_TIMEOUT_SECONDS,
            content_type="application/json",
            message_id=new_id(),
            correlation_id=raw.correlation_id,
            headers={"x-reason": reason, "x-error": error[:MAX_ERROR_CHARACTERS]},
        )


class WholeMessage:
    """A codec that hands the handler the message itself, so that reading can fail gracefully."""

    async def decode(self, msg: StreamMessage[Any]) -> Any:
        return msg

    async def encode(self, msg: Any, serializer: Any = None) -> tuple[bytes, str | None]:
        return msg, "application/json"


async def _reply(raw: IncomingMessage, body: bytes) -> None:
    """Send a reply; a queue that has gone drops it, and its owner asks the read model."""
    await raw.channel.basic_publish(
        body,
        routing_key=raw.reply_to or "",
        properties=Basic.Properties(
            content_type="application/json", correlation_id=raw.correlation_id, delivery_mode=1
        ),
    )


def _refuse_future(entries: list[Command | Unreadable]) -> list[Command | Unreadable]:
    """A command whose ID lies ahead of the clock could outlive its own outcome."""
    seconds_ahead = MAX_AHEAD_SECONDS + CLOCK_TOLERANCE_SECONDS
    first_refused = first_id_at(int((time.time() + seconds_ahead) * 1000))
    return [
        Unreadable(
            "command_id: lies ahead of the clock",
            encode_commands([entry]),
            entry.command_id,
            entry.kind,
            entry.submitted_at,
        )
        if not isinstance(entry, Unreadable) and entry.command_id >= first_refused
        else entry
        for entry in entries
    ]
