"""Publishes commands to the broker, many in a message, and awaits their outcomes.

Commands that arrive while a publish awaits its confirm leave together in the next message. Alone, a
command waits for no other. If the workers have many messages to answer, a partial batch lingers
50 ms: it would wait there anyway, and many small messages cost a worker more than a few large ones.
"""

import asyncio
import logging
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from typing import cast

from aio_pika import Connection, DeliveryMode, Message
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from gateway.messaging.in_flight_messages import InFlightMessages
from gateway.messaging.submission import Submission
from gateway.messaging.user_limit import MAX_COMMANDS_PER_USER, UserLimit
from gateway.outcome_document import DecidedOutcome
from gateway.read_model.outcome_poller import OutcomePoller, result_within
from gateway.telemetry import Metrics
from shared.commands import Command
from shared.ids import new_id
from shared.messages import MAX_COMMANDS_A_MESSAGE, MAX_MESSAGE_BYTES
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY, DEFAULT_ACCOUNT

MAX_UNCONFIRMED_MESSAGES = 2
"""Messages that may await their confirm at the same time. More would carry smaller batches, and a
worker pays by the message."""
MAX_UNCONFIRMED_AT_FULL_BATCHES = 10
"""The same if each carries a full batch: under overload, confirms are processed late."""
BACKLOG_THRESHOLD_MESSAGES = 16
"""From this many unanswered messages on, a partial batch lingers."""
LINGER_SECONDS = 0.05
"""How long a partial batch waits for more commands."""
CONFIRM_TIMEOUT_SECONDS = 3.0
REPLY_TIMEOUT_SECONDS = 0.5
"""A later reply may be lost: from then on the read model is polled too."""

_NO_CONTEXT = nullcontext()

_log = logging.getLogger(__name__)


class BrokerUnavailableError(Exception):
    """The broker did not confirm the command: whether it was enqueued is unknown."""


class Publisher:
    """Queues commands, publishes them in batches, and matches replies to them."""

    def __init__(self, reply_to: str, outcome_poller: OutcomePoller, metrics: Metrics) -> None:
        self.user_limit = UserLimit(MAX_COMMANDS_PER_USER, "too_many_commands")
        self._reply_to = reply_to
        self._outcome_poller = outcome_poller
        self._metrics = metrics
        self._exchange: AbstractExchange | None = None
        self._account = ""
        """The RabbitMQ user; the broker refuses messages that claim another."""
        self._queue: deque[Submission] = deque()
        self._publishing: set[asyncio.Task[None]] = set()
        self._unconfirmed = 0
        self._linger: asyncio.TimerHandle | None = None
        self._messages = InFlightMessages()
        metrics.awaiting_reply.set_function(lambda: self._messages.awaited)
        metrics.in_flight.set_function(lambda: self.in_flight)

    @property
    def connected(self) -> bool:
        return self._exchange is not None

    @property
    def in_flight(self) -> int:
        """The number of commands that are queued, or not answered by a worker yet."""
        return len(self._queue) + self._messages.commands

    async def submit(
        self,
        command: Command,
        wait_seconds: float,
        while_polling: AbstractContextManager[None] = _NO_CONTEXT,
    ) -> DecidedOutcome | None:
        """Publish `command` and await its outcome; None if it is not decided in time.

        Returns after the broker has confirmed it. If the caller is cancelled, the command is
        still published. `while_polling` is entered while the read model is polled, which starts
        after `REPLY_TIMEOUT_SECONDS`. Raises `BrokerUnavailableError`, the `ProblemError`
        `too_many_commands`, and whatever `while_polling` raises.
        """
        submission = self._enqueue(command, awaited=wait_seconds > 0)
        try:
            if wait_seconds > 0:
                decided = await self._await_outcome(submission, wait_seconds, while_polling)
                if decided is not None:
                    return decided
            if not await self._await_confirm(submission):
                raise BrokerUnavailableError
            return None
        finally:
            submission.awaited = False

    def on_replies_lost(self) -> None:
        """Expect no more replies to published messages: the connection for replies is lost."""
        self._messages.clear()

    def on_reply(self, correlation_id: str, decided: list[DecidedOutcome]) -> None:
        """Take the reply to a message: the outcomes of its commands, in their order.

        They are matched by message and position, not by command ID: another user may have used
        the same ID, and the outcome of one is not that of the other.
        """
        batch = self._messages.take(correlation_id)
        for submission, outcome in zip(batch, decided, strict=False):
            if submission.command.command_id == outcome.command_id:
                submission.resolve(outcome)
        self._publish_if_wanted()

    async def serve(self, connection: AbstractConnection) -> None:
        """Publish through `connection` until its channel is closed."""
        channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
        self._account = cast("Connection", connection).url.user or DEFAULT_ACCOUNT
        self._exchange = await channel.get_exchange(COMMANDS_EXCHANGE, ensure=False)
        try:
            await channel.closed()
        finally:
            self._exchange = None
            self._fail_queued()

    async def drain(self) -> None:
        """Publish the queue, and wait until every message is confirmed or has failed."""
        self._flush()
        while self._publishing:
            await asyncio.wait(self._publishing)

    def _enqueue(self, command: Command, *, awaited: bool) -> Submission:
        if self._exchange is None:
            raise self._unavailable("no_connection")
        self.user_limit.enter(command.user_id, command.command_id)
        submission = Submission(command, awaited=awaited, on_finish=self.user_limit.leave)
        self._metrics.commands_of[command.kind].inc()
        self._queue.append(submission)
        self._publish_if_wanted()
        return submission

    async def _await_outcome(
        self,
        submission: Submission,
        seconds: float,
        while_polling: AbstractContextManager[None],
    ) -> DecidedOutcome | None:
        decided = await result_within(submission.listen(), min(seconds, REPLY_TIMEOUT_SECONDS))
        decided = decided or submission.decided
        if decided is None and submission.confirmed is not False:
            seconds -= REPLY_TIMEOUT_SECONDS
            if seconds > 0:
                found = submission.listen()
                with while_polling, self._outcome_poller.polling_for(submission.command, found):
                    decided = await result_within(found, seconds)
        return decided or submission.decided

    async def _await_confirm(self, submission: Submission) -> bool:
        submission.awaited = False
        if submission.confirmed is None:
            await submission.listen()
        return submission.confirmed is True

    def _publish_if_wanted(self) -> None:
        if not self._queue:
            return
        full_batches = len(self._queue) // MAX_COMMANDS_A_MESSAGE
        if len(self._messages) < BACKLOG_THRESHOLD_MESSAGES:
            wanted = MAX_UNCONFIRMED_MESSAGES + full_batches
        else:
            wanted = full_batches
            if self._linger is None:
                loop = asyncio.get_running_loop()
                self._linger = loop.call_later(LINGER_SECONDS, self._flush)
        if self._unconfirmed < min(wanted, MAX_UNCONFIRMED_AT_FULL_BATCHES):
            self._start_publishing()

    def _flush(self) -> None:
        self._linger = None
        if self._queue and self._unconfirmed < MAX_UNCONFIRMED_AT_FULL_BATCHES:
            self._start_publishing()

    def _start_publishing(self) -> None:
        self._unconfirmed += 1
        task = asyncio.create_task(self._publish_batches())
        self._publishing.add(task)
        task.add_done_callback(self._publishing.discard)

    async def _publish_batches(self) -> None:
        """Publish batches one after the other while the queue warrants it."""
        try:
            while self._queue:
                batch = self._take_batch()
                confirmed = await self._publish(batch)
                for submission in batch:
                    submission.confirm(confirmed=confirmed)
                if not self._is_next_batch_wanted():
                    break
        finally:
            self._unconfirmed -= 1
            self._publish_if_wanted()

    def _is_next_batch_wanted(self) -> bool:
        if len(self._queue) >= MAX_COMMANDS_A_MESSAGE:
            return True
        return (
            self._unconfirmed <= MAX_UNCONFIRMED_MESSAGES
            and len(self._messages) < BACKLOG_THRESHOLD_MESSAGES
        )

    def _take_batch(self) -> list[Submission]:
        """Take as many commands from the queue as one message may carry."""
        batch = [self._queue.popleft()]
        size_bytes = len(batch[0].text) + len("[]")
        while self._queue and len(batch) < MAX_COMMANDS_A_MESSAGE:
            size_bytes += len(self._queue[0].text) + len(",")
            if size_bytes > MAX_MESSAGE_BYTES:
                break
            batch.append(self._queue.popleft())
        return batch

    async def _publish(self, batch: list[Submission]) -> bool:
        """Publish one message; return whether the broker confirmed that it is on disk."""
        exchange = self._exchange
        if exchange is None:
            return False
        correlation_id = new_id()
        message = self._message(batch, correlation_id)
        self._messages.add(correlation_id, batch)
        self._metrics.message_commands.observe(len(batch))
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_SECONDS):
                await exchange.publish(message, COMMANDS_ROUTING_KEY, mandatory=True)
        # PublishError first: it is a DeliveryError too.
        except PublishError:
            _log.error("the broker has no queue for commands: the message was returned")
            self._metrics.publish_failures.labels("returned").inc()
        except DeliveryError:
            self._metrics.publish_failures.labels("refused").inc()
        except TimeoutError:
            self._metrics.publish_failures.labels("no_confirm").inc()
            # Each queued batch would time out the same way, three seconds later.
            self._fail_queued()
        # aio-pika may cancel what waits on a connection that is lost.
        except (AMQPError, OSError, RuntimeError, asyncio.CancelledError) as error:
            _log.warning("a publish failed: %r", error)
            self._metrics.publish_failures.labels("connection_lost").inc()
        else:
            return True
        self._messages.take(correlation_id)
        return False

    def _message(self, batch: list[Submission], correlation_id: str) -> Message:
        return Message(
            b"[%b]" % b",".join(submission.text for submission in batch),
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            # aiormq matches returned messages by it, so each attempt needs a new one.
            message_id=new_id(),
            correlation_id=correlation_id,
            reply_to=self._reply_to,
            user_id=self._account,
        )

    def _fail_queued(self) -> None:
        while self._queue:
            self._queue.popleft().confirm(confirmed=False)

    def _unavailable(self, reason: str) -> BrokerUnavailableError:
        self._metrics.publish_failures.labels(reason).inc()
        return BrokerUnavailableError(reason)
