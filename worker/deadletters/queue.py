"""The dead-letter queue: its messages are held while an operator reads them, then requeued."""

import asyncio
import hashlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import unquote, urlsplit

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from pydantic import ValidationError

from shared import topology
from shared.commands import Command
from shared.ids import is_uuid7, new_id, unix_ms
from shared.messages import Unreadable, read_commands
from shared.outcomes import Outcome, decode_outcome

MAX_LETTERS = 1_000
MAX_HELD_BYTES = 256 * 1024 * 1024
"""How much is held at a time, hidden from others. Past either bound the rest stays unread."""
BROKER_TIMEOUT_SECONDS = 10.0
REQUEUE_POLLS = 20
REQUEUE_POLL_SECONDS = 0.05
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_DEATH_HEADER = "x-first-death-reason"
DEATHS_HEADER = "x-death"
DIGEST_BYTES = 8


@dataclass(frozen=True)
class HeldDeadLetter:
    """One message of the dead-letter queue: its commands, why it is there, and since when."""

    message: AbstractIncomingMessage

    @property
    def id(self) -> str:
        """The message ID, or a digest of the body where its publisher gave none."""
        digest = hashlib.blake2b(self.message.body, digest_size=DIGEST_BYTES).hexdigest()
        return self.message.message_id or f"body-{digest}"

    @property
    def headers(self) -> Mapping[str, Any]:
        return self.message.headers

    @cached_property
    def entries(self) -> list[Command | Unreadable]:
        return read_commands(self.message.body)

    @property
    def unreadable(self) -> list[Unreadable]:
        return [entry for entry in self.entries if isinstance(entry, Unreadable)]

    @property
    def command_ids(self) -> list[str]:
        return [entry.command_id for entry in self.entries if entry.command_id]

    @property
    def kinds(self) -> str:
        """The kinds of its readable commands: `reserve_tickets x3, end_event`."""
        kinds = Counter(str(entry.kind or "unreadable") for entry in self.entries)
        return ", ".join(f"{kind} x{n}" if n > 1 else kind for kind, n in kinds.items())

    @property
    def reason(self) -> str:
        """The worker's reason, or the broker's: `delivery_limit` after too many redeliveries."""
        given = self.headers.get(topology.REASON_HEADER) or self.headers.get(FIRST_DEATH_HEADER)
        return str(given or "unknown")

    @property
    def error(self) -> str:
        """What went wrong, in one line."""
        outcome = self._outcome
        if outcome is not None and outcome.refusal is not None:
            return outcome.refusal.detail
        if said := self.headers.get(topology.ERROR_HEADER):
            return str(said).partition("\n")[0]
        return "redelivered more often than the broker allows" if self._deaths else ""

    @property
    def is_recorded(self) -> bool:
        """Whether its command has a recorded outcome, which republishing does not change."""
        return self._outcome is not None and self._outcome.decided_at is not None

    @property
    def died_at(self) -> datetime | None:
        """When it was dead-lettered; None where no header says so."""
        if topology.REASON_HEADER in self.headers and is_uuid7(self.message.message_id or ""):
            return datetime.fromtimestamp(unix_ms(self.message.message_id or "") / 1000, UTC)
        times = [death.get("time") for death in self._deaths]
        return next((time for time in times if isinstance(time, datetime)), None)

    @property
    def _deaths(self) -> list[dict[str, Any]]:
        deaths = self.headers.get(DEATHS_HEADER) or []
        return [death for death in deaths if isinstance(death, dict)]

    @cached_property
    def _outcome(self) -> Outcome | None:
        """The outcome that the worker put into its headers."""
        try:
            return decode_outcome(str(self.headers.get(topology.ERROR_HEADER, "")))
        except ValidationError:
            return None


@dataclass
class DeadLetterQueue:
    """The dead letters that are held, oldest first, and how many more are in the queue."""

    channel: AbstractChannel
    queue: AbstractQueue
    account: str
    letters: list[HeldDeadLetter] = field(default_factory=list)
    more: int = 0
    _replies: dict[str, "asyncio.Future[list[dict[str, Any]]]"] = field(default_factory=dict)
    _reply_queue: str = ""
    _last: AbstractIncomingMessage | None = None

    async def republish(
        self, letter: HeldDeadLetter, body: bytes | None = None
    ) -> "asyncio.Future[list[dict[str, Any]]]":
        """Publish its commands, or those in `body`, to the workers, then remove the letter.

        Return a future of their outcomes. Raises aio-pika's errors, OSError or TimeoutError where
        the broker does not confirm; the letter then stays.
        """
        if not self._reply_queue:
            await self._expect_replies()
        is_recorded = body is None and letter.is_recorded
        correlation_id = new_id()
        answer: asyncio.Future[list[dict[str, Any]]] = asyncio.get_running_loop().create_future()
        self._replies[correlation_id] = answer
        message = aio_pika.Message(
            letter.message.body if body is None else body,
            content_type="application/json",
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            # aiormq matches returned messages by it.
            message_id=new_id(),
            correlation_id=correlation_id,
            reply_to=self._reply_queue,
            user_id=self.account,
            headers={topology.RECORDED_HEADER: True} if is_recorded else {},
        )
        exchange = await self.channel.get_exchange(topology.COMMANDS_EXCHANGE, ensure=False)
        await exchange.publish(
            message, topology.COMMANDS_ROUTING_KEY, timeout=BROKER_TIMEOUT_SECONDS
        )
        await letter.message.ack()
        return answer

    async def drop(self, letter: HeldDeadLetter) -> None:
        """Remove a letter permanently."""
        await letter.message.ack()

    async def fetch(self, limit: int) -> None:
        """Hold up to `limit` letters."""
        held_bytes = 0
        while len(self.letters) < limit and held_bytes < MAX_HELD_BYTES:
            message = await self.queue.get(fail=False, timeout=BROKER_TIMEOUT_SECONDS)
            if message is None:
                break
            self._last = message
            self.letters.append(HeldDeadLetter(message))
            held_bytes += len(message.body)
        # After an operator's connection broke, the queue returns them in another order.
        self.letters.sort(key=lambda letter: letter.died_at or LONG_AGO)
        left = await self.channel.declare_queue(topology.DEAD_QUEUE, passive=True)
        self.more = left.declaration_result.message_count or 0

    async def requeue(self) -> None:
        """Return all held letters to the queue, in their order.

        The broker puts returned messages behind those that were returned before. So the rest of
        these is fetched too, and all are returned together.
        """
        if self.channel.is_closed:  # the broker has requeued them
            return
        last = self._last
        while last is not None and last.redelivered:
            last = await self.queue.get(fail=False, timeout=BROKER_TIMEOUT_SECONDS)
        underlay = await self.channel.get_underlay_channel()
        await underlay.basic_nack(0, multiple=True, requeue=True)
        await self._await_requeued()

    async def _await_requeued(self) -> None:
        """Wait until the queue shows the letters again, for a command that follows at once.

        The broker confirms no nack. Another operator may take the letters first, hence the bound.
        """
        held = sum(not letter.message.processed for letter in self.letters)
        for _ in range(REQUEUE_POLLS if held else 0):
            left = await self.channel.declare_queue(topology.DEAD_QUEUE, passive=True)
            if (left.declaration_result.message_count or 0) >= self.more + held:
                return
            await asyncio.sleep(REQUEUE_POLL_SECONDS)

    async def _expect_replies(self) -> None:
        queue = await self.channel.declare_queue(topology.REPLIES_PREFIX + new_id(), exclusive=True)
        await queue.consume(self._receive, no_ack=True)
        self._reply_queue = queue.name

    async def _receive(self, message: AbstractIncomingMessage) -> None:
        answer = self._replies.pop(message.correlation_id or "", None)
        if answer is not None and not answer.done():
            answer.set_result(json.loads(message.body))


@asynccontextmanager
async def open_queue(broker_url: str, limit: int) -> AsyncIterator[DeadLetterQueue]:
    """Hold up to `limit` dead letters. No other consumer gets them meanwhile."""
    connection = await aio_pika.connect(broker_url, timeout=BROKER_TIMEOUT_SECONDS)
    async with connection:
        channel = await connection.channel(on_return_raises=True)
        queue = await channel.get_queue(topology.DEAD_QUEUE)
        account = unquote(urlsplit(broker_url).username or topology.DEFAULT_ACCOUNT)
        letters = DeadLetterQueue(channel, queue, account)
        try:
            await letters.fetch(limit)
            yield letters
        finally:
            await letters.requeue()
