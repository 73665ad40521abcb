"""The way of a message: read it, have its commands decided, answer, acknowledge; in that order.

Nothing here is left to defaults that lose messages: acknowledgement is ours alone and
comes last, and what cannot be applied is on the disk of the dead letters before it.
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
    """Takes messages from the queue of commands and sees to it that each is answered."""

    def __init__(
        self,
        broker: RabbitBroker,
        committer: Committer,
        answers: ReplySender,
        poison_suspects: PoisonSuspects,
        accounts: frozenset[str] = frozenset(),
    ) -> None:
        """Apply commands of the broker's `accounts` only, or of all if none is named."""
        self._accounts = accounts
        self._broker = broker
        self._committer = committer
        self._answers = answers
        self._poison_suspects = poison_suspects
        self._suspects: list[tuple[Delivery, AckBatcher]] = []
        self._held_back: list[tuple[Delivery, AckBatcher]] | None = None
        """Messages that wait while suspects are decided: one of them might end the worker too."""
        self._acknowledger: AckBatcher | None = None
        self._consumer_tag = ""
        self._drains = False
        self._tasks: set[asyncio.Task[None]] = set()
        subscriber = broker.subscriber(
            COMMANDS_QUEUE,
            COMMANDS_EXCHANGE,
            # Replies leave through this channel too, without confirms: the outcome of a lost
            # reply is in the read model.
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
        if rejected := self._reject_unread(raw):
            self._spawn(
                self._dead_letter_and_answer(raw, [answer_unreadable(rejected)], acknowledger)
            )
        elif _is_suspect(raw):
            self._suspects.append((raw, acknowledger))
            if self._held_back is None:
                self._held_back = []
                self._spawn(self._decide_suspects())
        elif self._held_back is not None:
            self._held_back.append((raw, acknowledger))
        else:
            self._decide(raw, acknowledger)

    def _decide(self, raw: Delivery, acknowledger: AckBatcher) -> None:
        entries = read_entries(raw.body)
        commands = [entry for entry in entries if not isinstance(entry, Unreadable)]
        if not commands:  # no transaction needed
            self._answer(raw, entries, [], acknowledger)
            return
        decided = self._committer.submit(commands)
        decided.add_done_callback(partial(self._on_decided, raw, entries, acknowledger))

    async def _decide_suspects(self) -> None:
        """Decide suspects until none is left, then the messages that were held back."""
        while self._suspects:
            suspects, self._suspects = self._suspects, []
            answers = await self._poison_suspects.decide([raw.body for raw, _ in suspects])
            for (raw, acknowledger), one in zip(suspects, answers, strict=True):
                await self._dead_letter_and_answer(raw, one, acknowledger)
        held_back, self._held_back = self._held_back or [], None
        for raw, acknowledger in held_back:
            self._decide(raw, acknowledger)

    def _reject_unread(self, raw: Delivery) -> Unreadable | None:
        """Return why a message is refused for its properties alone, if it is."""
        if UNREADABLE_PROPERTIES in raw.headers:
            return Unreadable("properties: cannot be read", raw.body)
        # The broker has verified that user_id is the account of the connection.
        if self._accounts and raw.user_id not in self._accounts:
            return _refuse_account(raw)
        return None

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
        answers = answer_entries(entries, outcomes)
        self._spawn(self._dead_letter_and_answer(raw, answers, acknowledger))

    async def _dead_letter_and_answer(
        self, raw: Delivery, answers: Sequence[Answer], acknowledger: AckBatcher
    ) -> None:
        """Copy what was not applied to the dead letters, then answer the whole message."""
        for answer in answers:
            letter = answer.dead_letter
            if letter is None:
                continue
            # Republished by an operator although its outcome is recorded: answered, not copied.
            if letter.reason == "unprocessable" and topology.RECORDED_HEADER in raw.headers:
                continue
            await publish_dead_letter(
                self._broker, letter.body, letter.reason, letter.error, raw.correlation_id
            )
        documents = [answer.document for answer in answers]
        self._answers.put(PendingReply(raw, documents, acknowledger))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_suspect(raw: Delivery) -> bool:
    """Tell whether a message came back so often that it may be what ends the workers."""
    redeliveries = raw.headers.get(topology.DELIVERY_COUNT_HEADER, 0)
    return isinstance(redeliveries, int) and redeliveries >= MIN_SUSPECT_REDELIVERIES


def _refuse_account(raw: Delivery) -> Unreadable:
    """Refuse a message unread, because its account may not send commands."""
    account = f"the account {raw.user_id}" if raw.user_id else "an account that is not named"
    error = f"user_id: {account} may not send commands"
    return Unreadable(error, raw.body, reason="not_allowed")
