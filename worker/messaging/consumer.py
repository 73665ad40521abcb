"""Handles a message: read it, have its commands decided, reply, acknowledge; in that order.

Acknowledgement is manual and comes last, after dead letters are confirmed.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

from aio_pika.exceptions import AMQPError
from faststream import AckPolicy
from faststream.rabbit import Channel, RabbitBroker

from shared import topology
from shared.messages import Unreadable
from worker.committer import Committer
from worker.deadletters.publish import publish_dead_letter
from worker.messaging.library_patches import (
    UNREADABLE_PROPERTIES,
    Delivery,
    bypass_faststream_decoding,
)
from worker.messaging.queues import COMMANDS_EXCHANGE, COMMANDS_QUEUE
from worker.messaging.reading import (
    Answer,
    Entries,
    answer_entries,
    answer_unreadable,
    read_entries,
)
from worker.messaging.replies import AckBatcher, PendingReply, ReplySender
from worker.poison_messages import MIN_SUSPECT_REDELIVERIES, PoisonSuspects
from worker.storage.outcomes import EncodedOutcome

logger = logging.getLogger(__name__)

PREFETCH_MESSAGES = 1_000
"""Two full batches of one-command messages; what waits beyond stays with the broker."""

DRAIN_SECONDS = 20


class Consumer:
    """Takes messages from the queue of commands, and has a reply sent to each."""

    def __init__(
        self,
        broker: RabbitBroker,
        committer: Committer,
        replies: ReplySender,
        poison_suspects: PoisonSuspects,
        accounts: frozenset[str] = frozenset(),
    ) -> None:
        """`accounts`: broker accounts whose commands are applied; empty means all."""
        self._accounts = accounts
        self._broker = broker
        self._committer = committer
        self._replies = replies
        self._poison_suspects = poison_suspects
        self._suspects: list[tuple[Delivery, AckBatcher]] = []
        self._held_back: list[tuple[Delivery, AckBatcher]] | None = None
        """Messages that wait while suspects are decided: one of them might end the worker too."""
        self._acks: AckBatcher | None = None
        self._consumer_tag = ""
        self._draining = False
        self._tasks: set[asyncio.Task[None]] = set()
        subscriber = broker.subscriber(
            COMMANDS_QUEUE,
            COMMANDS_EXCHANGE,
            # Replies are published on this channel too. No confirms are awaited: a lost reply is
            # found in the read model. Decision 24 says why they share a connection.
            channel=Channel(prefetch_count=PREFETCH_MESSAGES, publisher_confirms=False),
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            title="commands",
            description="Commands, 1 to 100 a message; the reply holds an outcome for each.",
        )
        subscriber(self.handle)
        bypass_faststream_decoding(subscriber, self.handle)

    async def handle(self, message: Any) -> None:
        """Submit the commands of a message; the reply is sent when they are decided."""
        delivery: Delivery = message  # in the signature, FastStream would document the type
        acks = self._acks
        if acks is None or acks.channel is not delivery.channel:
            self._acks = acks = AckBatcher(delivery.channel)
            self._consumer_tag = delivery.consumer_tag
            if self._draining:  # the channel was reopened while the worker stops
                self._spawn(self._cancel())
        self._replies.expect()
        if rejected := self._reject_by_properties(delivery):
            self._spawn(self._dead_letter_and_answer(delivery, [answer_unreadable(rejected)], acks))
        elif _is_suspect(delivery):
            self._suspects.append((delivery, acks))
            if self._held_back is None:
                self._held_back = []
                self._spawn(self._decide_suspects())
        elif self._held_back is not None:
            self._held_back.append((delivery, acks))
        else:
            self._decide(delivery, acks)

    def _decide(self, delivery: Delivery, acks: AckBatcher) -> None:
        entries = read_entries(delivery.body)
        commands = [entry for entry in entries if not isinstance(entry, Unreadable)]
        if not commands:  # no transaction needed
            self._answer(delivery, entries, [], acks)
            return
        decided = self._committer.submit(commands)
        decided.add_done_callback(partial(self._on_decided, delivery, entries, acks))

    async def _decide_suspects(self) -> None:
        """Decide suspects until none is left, then the messages that were held back."""
        while self._suspects:
            suspects, self._suspects = self._suspects, []
            answers = await self._poison_suspects.decide(
                [delivery.body for delivery, _ in suspects]
            )
            for (delivery, acks), one in zip(suspects, answers, strict=True):
                await self._dead_letter_and_answer(delivery, one, acks)
        held_back, self._held_back = self._held_back or [], None
        for delivery, acks in held_back:
            self._decide(delivery, acks)

    def _reject_by_properties(self, delivery: Delivery) -> Unreadable | None:
        """Return why a message is refused for its properties alone, if it is."""
        if UNREADABLE_PROPERTIES in delivery.headers:
            return Unreadable("properties: cannot be read", delivery.body)
        # The broker has verified that user_id is the account of the connection.
        if self._accounts and delivery.user_id not in self._accounts:
            return _refuse_account(delivery)
        return None

    async def drain(self) -> None:
        """Take no more messages, and wait until the replies to the unacknowledged ones are sent.

        Cancel first, or the broker keeps pushing messages that are requeued unanswered, each with
        its delivery count raised.
        """
        self._draining = True
        await self._cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SECONDS):
                await self._replies.drain()

    async def _cancel(self) -> None:
        """Cancel the consumer on the channel of the last message."""
        if self._acks is not None and not self._acks.channel.is_closed:
            # If the channel closes here, the broker stops pushing anyway.
            with contextlib.suppress(AMQPError, OSError, RuntimeError):
                await self._acks.channel.basic_cancel(self._consumer_tag)

    def _on_decided(
        self,
        delivery: Delivery,
        entries: Entries,
        acks: AckBatcher,
        decided: "asyncio.Future[list[EncodedOutcome]]",
    ) -> None:
        # Cancelled when the worker stops: the message is redelivered.
        if not decided.cancelled():
            self._answer(delivery, entries, decided.result(), acks)

    def _answer(
        self,
        delivery: Delivery,
        entries: Entries,
        outcomes: list[EncodedOutcome],
        acks: AckBatcher,
    ) -> None:
        if len(outcomes) == len(entries) and not any(one.dead_letter for one in outcomes):
            documents = [outcome.document for outcome in outcomes]
            self._replies.enqueue(PendingReply(delivery, documents, acks))
            return
        answers = answer_entries(entries, outcomes)
        self._spawn(self._dead_letter_and_answer(delivery, answers, acks))

    async def _dead_letter_and_answer(
        self, delivery: Delivery, answers: Sequence[Answer], acks: AckBatcher
    ) -> None:
        """Copy what was not applied to the dead letters, then answer the whole message."""
        for answer in answers:
            letter = answer.dead_letter
            if letter is None:
                continue
            # Republished by an operator although its outcome is recorded: answered, not copied.
            if letter.reason == "unprocessable" and topology.RECORDED_HEADER in delivery.headers:
                continue
            await publish_dead_letter(
                self._broker, letter.body, letter.reason, letter.error, delivery.correlation_id
            )
        documents = [answer.document for answer in answers]
        self._replies.enqueue(PendingReply(delivery, documents, acks))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_suspect(delivery: Delivery) -> bool:
    """Return whether a message was redelivered so often that it may be what ends workers."""
    redeliveries = delivery.headers.get(topology.DELIVERY_COUNT_HEADER, 0)
    return isinstance(redeliveries, int) and redeliveries >= MIN_SUSPECT_REDELIVERIES


def _refuse_account(delivery: Delivery) -> Unreadable:
    """Refuse an unread message because its account may not submit commands."""
    account = (
        f"the account {delivery.user_id}" if delivery.user_id else "an account that is not named"
    )
    error = f"user_id: {account} may not send commands"
    return Unreadable(error, delivery.body, reason="not_allowed")
