"""The way of a message: read it, have its commands decided, answer, acknowledge; in that order.

Nothing here is left to defaults that lose messages: acknowledgement is ours alone and
comes last, and what cannot be applied is on the disk of the dead letters before it.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

from aio_pika.exceptions import AMQPError
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker

from shared import topology
from shared.commands import Command
from shared.ids import MAX_AHEAD_SECONDS, first_id_at
from shared.messages import Unreadable, encode_commands, read_commands
from shared.outcomes import encode_outcome, refused
from shared.refusals import Unprocessable
from worker.committer import Committer
from worker.deadletters.publish import publish_dead_letter
from worker.messaging.deliveries import Delivery, bypass_faststream_decoding
from worker.messaging.properties import UNREADABLE_PROPERTIES
from worker.messaging.queues import COMMANDS_EXCHANGE, COMMANDS_QUEUE
from worker.messaging.replies import AckBatcher, PendingReply, ReplySender
from worker.poison_messages import MIN_SUSPECT_REDELIVERIES
from worker.storage.outcomes import EncodedOutcome

logger = logging.getLogger(__name__)

PREFETCH_MESSAGES = 1_000
"""Two full batches of one-command messages; what waits beyond stays with the broker."""

DRAIN_SECONDS = 20
CLOCK_TOLERANCE_SECONDS = 30
"""How far the clocks of a gateway and a worker may be apart."""

REFUSALS = {
    "unreadable": "The command could not be read",
    "not_allowed": "The command was not accepted",
}

Entries = list[Command | Unreadable]


class Consumer:
    """Takes messages from the queue of commands and sees to it that each is answered."""

    def __init__(
        self,
        broker: RabbitBroker,
        committer: Committer,
        answers: ReplySender,
        accounts: frozenset[str] = frozenset(),
    ) -> None:
        """Commands of the broker's `accounts` are applied; where none is named, everybody's."""
        self._accounts = accounts
        self._broker = broker
        self._committer = committer
        self._answers = answers
        self._acknowledger: AckBatcher | None = None
        self._consumer_tag = ""
        self._drains = False
        self._tasks: set[asyncio.Task[None]] = set()
        subscriber = broker.subscriber(
            COMMANDS_QUEUE,
            COMMANDS_EXCHANGE,
            # Replies leave through this channel, too. Nobody waits for their confirms: a reply
            # that is lost is found in the read model.
            channel=Channel(prefetch_count=PREFETCH_MESSAGES, publisher_confirms=False),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            title="commands",
            description="Commands, 1 to 100 a message; the reply holds an outcome for each.",
        )
        subscriber(self.handle)
        bypass_faststream_decoding(subscriber, self.handle)

    async def handle(self, delivery: Any) -> None:
        """Hand in the commands of a message; the answer follows when they are decided."""
        raw: Delivery = delivery  # not in the signature, or FastStream documents it
        acknowledger = self._acknowledger
        if acknowledger is None or acknowledger.channel is not raw.channel:
            self._acknowledger = acknowledger = AckBatcher(raw.channel)
            self._consumer_tag = raw.consumer_tag
            if self._drains:  # opened meanwhile, in place of one that broke
                self._spawn(self._cancel())
        self._answers.expect()
        entries = self._entries_of(raw)
        commands = [entry for entry in entries if not isinstance(entry, Unreadable)]
        if not commands:  # nothing for a transaction
            self._answer(raw, entries, [], acknowledger)
            return
        decided = self._committer.submit(commands, suspect=_is_suspect(raw))
        decided.add_done_callback(partial(self._on_decided, raw, entries, acknowledger))

    def _entries_of(self, raw: Delivery) -> Entries:
        if UNREADABLE_PROPERTIES in raw.headers:
            return [Unreadable("properties: cannot be read", raw.body)]
        # The broker has checked that who published is who the message says.
        if self._accounts and raw.user_id not in self._accounts:
            return [_refuse_account(raw)]
        return _read(raw.body)

    async def drain(self) -> None:
        """Take no more messages, and wait until those in hand are answered.

        Without the cancellation the broker would go on pushing, and what it pushed in
        vain would come back with a delivery counted.
        """
        self._drains = True
        await self._cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._answers.all_sent()

    async def _cancel(self) -> None:
        """Have the broker push no more on the channel of the last message."""
        if self._acknowledger is not None and not self._acknowledger.channel.is_closed:
            # Cut off at this moment, it is sent no more either.
            with contextlib.suppress(AMQPError, OSError, RuntimeError):
                await self._acknowledger.channel.basic_cancel(self._consumer_tag)

    def _on_decided(
        self,
        raw: Delivery,
        entries: Entries,
        acknowledger: AckBatcher,
        decided: "asyncio.Future[list[EncodedOutcome]]",
    ) -> None:
        # Cancelled, the worker stops: the message is delivered again.
        if not decided.cancelled():
            self._answer(raw, entries, decided.result(), acknowledger)

    def _answer(
        self,
        raw: Delivery,
        entries: Entries,
        outcomes: list[EncodedOutcome],
        acknowledger: AckBatcher,
    ) -> None:
        if len(outcomes) == len(entries) and not any(one.dead_letter for one in outcomes):
            documents = [outcome.document for outcome in outcomes]
            self._answers.put(PendingReply(raw, documents, acknowledger))
            return
        self._spawn(self._set_aside(raw, entries, outcomes, acknowledger))

    async def _set_aside(
        self,
        raw: Delivery,
        entries: Entries,
        outcomes: list[EncodedOutcome],
        acknowledger: AckBatcher,
    ) -> None:
        """Copy what cannot be applied to the dead letters, then answer the whole message."""
        decided = iter(outcomes)
        answered: list[str] = []
        for entry in entries:
            if isinstance(entry, Unreadable):
                await self._dead_letter(raw, entry.body, entry.reason, entry.error)
                reason = Unprocessable(f"{REFUSALS[entry.reason]}: {entry.error}")
                answered.append(encode_outcome(refused(entry, reason, decided_at=None)))
                continue
            outcome = next(decided)
            if outcome.dead_letter and topology.RECORDED_HEADER not in raw.headers:
                body = encode_commands([entry])
                await self._dead_letter(raw, body, "unprocessable", outcome.document)
            answered.append(outcome.document)
        self._answers.put(PendingReply(raw, answered, acknowledger))

    async def _dead_letter(self, raw: Delivery, body: bytes, reason: str, error: str) -> None:
        await publish_dead_letter(self._broker, body, reason, error, raw.correlation_id)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _read(body: bytes) -> Entries:
    try:
        return _refuse_future(read_commands(body))
    except Exception as error:  # a bug: it must not keep the message coming back for ever
        logger.exception("a message cannot be read")
        return [Unreadable(f"reading it failed: {type(error).__name__}", body)]


def _is_suspect(raw: Delivery) -> bool:
    """Whether it came back so often that it may be what ends the workers."""
    redeliveries = raw.headers.get(topology.DELIVERY_COUNT_HEADER, 0)
    return isinstance(redeliveries, int) and redeliveries >= MIN_SUSPECT_REDELIVERIES


def _refuse_account(raw: Delivery) -> Unreadable:
    """Of a message whose content nobody looks at: its account hands in no commands."""
    account = f"the account {raw.user_id}" if raw.user_id else "an account that is not named"
    error = f"user_id: {account} may not hand in commands"
    return Unreadable(error, raw.body, reason="not_allowed")


def _refuse_future(entries: Entries) -> Entries:
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
