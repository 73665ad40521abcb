"""Hands commands to the broker, many in a message, and awaits what becomes of them.

Commands that arrive while a publish awaits its confirm leave together in the next message.
Alone, a command waits for nobody. Only where workers have many messages to answer, what is no full
load waits a moment for more: it would wait there, and many small messages cost a worker more time
than a few large ones.
"""

import asyncio
import logging
from collections import deque
from typing import cast

from aio_pika import Connection, DeliveryMode, Message
from aio_pika.abc import AbstractConnection, AbstractExchange
from aio_pika.exceptions import AMQPError, DeliveryError, PublishError

from gateway.messaging.in_flight_messages import InFlightMessages
from gateway.messaging.replies import DecidedOutcome
from gateway.messaging.submission import Submission
from gateway.read_model.outcome_poller import OutcomePoller, result_within
from gateway.telemetry import Metrics
from shared.commands import Command
from shared.ids import new_id
from shared.messages import MAX_COMMANDS_A_MESSAGE, MAX_MESSAGE_BYTES
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY

MAX_UNCONFIRMED_MESSAGES = 2
"""How many messages may await their confirm at the same time. More lanes carry smaller loads,
and everybody behind pays by the message."""
MAX_UNCONFIRMED_AT_FULL_BATCHES = 10
"""How many may where each is full: under overload a confirm is noticed late."""
BEHIND_MESSAGES = 16
"""How many messages workers have to answer when they are behind."""
LINGER_SECONDS = 0.05
"""How long commands then wait for a full load."""
CONFIRM_TIMEOUT_SECONDS = 3.0
REPLY_PATIENCE_SECONDS = 0.5
"""A reply that takes longer may be lost: from then on the read model is asked too."""
DEFAULT_ACCOUNT = "guest"
"""As whom a client logs in to whose URL no user belongs."""

_log = logging.getLogger(__name__)


class BrokerUnavailableError(Exception):
    """The broker did not confirm the command: whether it was enqueued is unknown."""


class Publisher:
    """The line of commands, the lanes that carry them off, and who waits for a reply."""

    def __init__(self, reply_to: str, outcome_poller: OutcomePoller, metrics: Metrics) -> None:
        self._reply_to = reply_to
        self._outcome_poller = outcome_poller
        self._metrics = metrics
        self._exchange: AbstractExchange | None = None
        self._account = ""
        """As whom the broker knows us: it refuses messages that claim to be another's."""
        self._line: deque[Submission] = deque()
        self._lanes: set[asyncio.Task[None]] = set()
        self._open_lanes = 0
        self._hold: asyncio.TimerHandle | None = None
        """Lets go of what waits for a full load."""
        self._in_flight = InFlightMessages()
        metrics.awaiting_reply.set_function(lambda: self._in_flight.awaited)
        metrics.under_way.set_function(lambda: self.under_way)

    @property
    def connected(self) -> bool:
        return self._exchange is not None

    @property
    def under_way(self) -> int:
        """Return how many commands are in line, or not answered yet."""
        return len(self._line) + self._in_flight.commands

    async def submit(self, command: Command, wait_seconds: float) -> DecidedOutcome | None:
        """Hand `command` in and await its outcome; None where it was not decided in time.

        Returns after the broker confirmed it. Raises `BrokerUnavailableError`. A caller that is
        cancelled waits no longer; the command still leaves for the broker.
        """
        submission = self._enqueue(command, awaited=wait_seconds > 0)
        try:
            if wait_seconds > 0:
                decided = await self._await_outcome(submission, wait_seconds)
                if decided is not None:
                    return decided
            if not await self._await_confirm(submission):
                raise BrokerUnavailableError
            return None
        finally:
            submission.awaited = False

    def on_replies_lost(self) -> None:
        """Know that replies to what is under way may be lost."""
        self._in_flight.forget()

    def answer(self, correlation_id: str, answers: list[DecidedOutcome]) -> None:
        """Take a reply: what became of the commands of one message, in their order.

        By message and place, not by command ID: another user may have used the same ID, and
        the refusal of the one is no answer to the other.
        """
        load = self._in_flight.take(correlation_id)
        for submission, decided in zip(load, answers, strict=False):
            if submission.command.command_id == decided.command_id:
                submission.decide(decided)
        self._open_lane_if_wanted()

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
        """Wait until every message that is on its way was confirmed, or failed."""
        self._flush()
        while self._lanes:
            await asyncio.wait(self._lanes)

    def _enqueue(self, command: Command, *, awaited: bool) -> Submission:
        if self._exchange is None:
            raise self._unavailable("no_connection")
        submission = Submission(command, awaited=awaited)
        self._metrics.commands_of[command.kind].inc()
        self._line.append(submission)
        self._open_lane_if_wanted()
        return submission

    async def _await_outcome(self, submission: Submission, seconds: float) -> DecidedOutcome | None:
        decided = await result_within(submission.listen(), min(seconds, REPLY_PATIENCE_SECONDS))
        decided = decided or submission.decided
        if decided is None and submission.confirmed is not False:
            seconds -= REPLY_PATIENCE_SECONDS
            if seconds > 0:
                found = submission.listen()
                with self._outcome_poller.looking_for_outcome_of(submission.command, found):
                    decided = await result_within(found, seconds)
        return decided or submission.decided

    async def _await_confirm(self, submission: Submission) -> bool:
        submission.awaited = False
        if submission.confirmed is None:
            await submission.listen()
        return submission.confirmed is True

    def _open_lane_if_wanted(self) -> None:
        if not self._line:
            return
        full_loads = len(self._line) // MAX_COMMANDS_A_MESSAGE
        if len(self._in_flight) < BEHIND_MESSAGES:
            wanted = MAX_UNCONFIRMED_MESSAGES + full_loads
        else:
            wanted = full_loads
            if self._hold is None:
                loop = asyncio.get_running_loop()
                self._hold = loop.call_later(LINGER_SECONDS, self._flush)
        if self._open_lanes < min(wanted, MAX_UNCONFIRMED_AT_FULL_BATCHES):
            self._open_lane()

    def _open_lane(self) -> None:
        self._open_lanes += 1
        lane = asyncio.create_task(self._serve_lane())
        self._lanes.add(lane)
        lane.add_done_callback(self._lanes.discard)

    def _flush(self) -> None:
        self._hold = None
        if self._line and self._open_lanes < MAX_UNCONFIRMED_AT_FULL_BATCHES:
            self._open_lane()

    async def _serve_lane(self) -> None:
        try:
            while self._line:
                load = self._take_batch()
                confirmed = await self._publish(load)
                for submission in load:
                    submission.settle(confirmed=confirmed)
                if not self._is_lane_wanted():
                    break
        finally:
            self._open_lanes -= 1
            self._open_lane_if_wanted()

    def _is_lane_wanted(self) -> bool:
        """Tell whether what is in line now should leave by a lane that is free again."""
        if len(self._line) >= MAX_COMMANDS_A_MESSAGE:
            return True
        return (
            self._open_lanes <= MAX_UNCONFIRMED_MESSAGES and len(self._in_flight) < BEHIND_MESSAGES
        )

    def _take_batch(self) -> list[Submission]:
        """Take as many commands from the line as one message may carry."""
        load = [self._line.popleft()]
        size = len(load[0].text) + len("[]")
        while self._line and len(load) < MAX_COMMANDS_A_MESSAGE:
            size += len(self._line[0].text) + len(",")
            if size > MAX_MESSAGE_BYTES:
                break
            load.append(self._line.popleft())
        return load

    async def _publish(self, load: list[Submission]) -> bool:
        """Publish one message; tell whether the broker confirmed that it is on disk."""
        exchange = self._exchange
        if exchange is None:
            return False
        correlation_id = new_id()
        message = self._message(load, correlation_id)
        self._in_flight.add(correlation_id, load)
        self._metrics.message_commands.observe(len(load))
        try:
            async with asyncio.timeout(CONFIRM_TIMEOUT_SECONDS):
                await exchange.publish(message, COMMANDS_ROUTING_KEY, mandatory=True)
        # PublishError first: it is a DeliveryError too.
        except PublishError:
            _log.error("the broker has no queue for commands: the message came back")
            self._metrics.publish_failures.labels("returned").inc()
        except DeliveryError:
            self._metrics.publish_failures.labels("refused").inc()
        except TimeoutError:
            self._metrics.publish_failures.labels("no_confirm").inc()
            # Who stands behind would only find out the same, each three seconds later.
            self._fail_queued()
        # Whatever waits on a connection that is lost, aio-pika may cancel.
        except (AMQPError, OSError, RuntimeError, asyncio.CancelledError) as error:
            _log.warning("a publish failed: %r", error)
            self._metrics.publish_failures.labels("connection_lost").inc()
        else:
            return True
        self._in_flight.take(correlation_id)
        return False

    def _message(self, load: list[Submission], correlation_id: str) -> Message:
        return Message(
            b"[%b]" % b",".join(submission.text for submission in load),
            content_type="application/json",
            delivery_mode=DeliveryMode.PERSISTENT,
            # aiormq tells returned messages apart by it: fresh for each attempt.
            message_id=new_id(),
            correlation_id=correlation_id,
            reply_to=self._reply_to,
            user_id=self._account,
        )

    def _fail_queued(self) -> None:
        while self._line:
            self._line.popleft().settle(confirmed=False)

    def _unavailable(self, reason: str) -> BrokerUnavailableError:
        self._metrics.publish_failures.labels(reason).inc()
        return BrokerUnavailableError(reason)
