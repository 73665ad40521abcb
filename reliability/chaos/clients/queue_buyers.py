"""Buyers at the queue: messages of many commands, retried until each has its answer."""

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial

from reliability.chaos.checks.database import Database
from reliability.chaos.checks.record import Document, Entry, Record
from reliability.chaos.clients.http_buyers import REUSED_CODE
from reliability.chaos.clients.queue_client import QueueClient
from reliability.chaos.clients.rate_limiter import RateLimiter
from reliability.chaos.clients.workload import Workload, command

MAX_USERS_A_MESSAGE = 20
REPLY_SECONDS = 1.5
"""A later reply may be lost: from then on the outcome is read from the database."""
POLL_SECONDS = 0.1
RETRY_SECONDS = 0.1
GIVE_UP_SECONDS = 120.0

TWO_IN_ONE_MESSAGE = 0.1
WITH_DEADLINE = 0.03
LONGEST_DEADLINE_SECONDS = 0.5
REPEATED = 0.15
"""Share of messages that hand decided commands in again."""
REUSED = 0.05
UNREADABLE = 0.02

Part = tuple[Document, Callable[[str], None]]
"""A command as sent, and the callback for its outcome."""


class QueueBuyers:
    """A group of users whose commands go in one message, one message after the other."""

    def __init__(
        self,
        user_ids: Sequence[str],
        workload: Workload,
        queue_client: QueueClient,
        database: Database,
        record: Record,
        rng: random.Random,
    ) -> None:
        self._user_ids = user_ids
        self._workload = workload
        self._queue_client = queue_client
        self._database = database
        self._record = record
        self._rng = rng
        self._last: list[Entry] = []

    async def buy(self, is_open: Callable[[], bool], rate_limiter: RateLimiter) -> None:
        while is_open():
            entries = self._next_commands()
            parts = self._mixed(entries)
            await rate_limiter.wait_for(len(parts))
            await self._carry_through(parts, entries)
            self._last = entries

    def _next_commands(self) -> list[Entry]:
        rng = self._rng
        number = rng.randint(1, min(MAX_USERS_A_MESSAGE, len(self._user_ids)))
        entries = []
        for user_id in rng.sample(self._user_ids, number):
            for _ in range(2 if rng.random() < TWO_IN_ONE_MESSAGE else 1):
                kind, fields = self._workload.next_command(rng)
                entry = Entry(user_id, kind, fields, "queue")
                now = datetime.now(UTC)
                entry.submitted_at = now.isoformat()
                if rng.random() < WITH_DEADLINE:
                    patience = timedelta(seconds=rng.uniform(0, LONGEST_DEADLINE_SECONDS))
                    entry.deadline = (now + patience).isoformat()
                entries.append(self._record.begin(entry))
        return entries

    def _mixed(self, entries: list[Entry]) -> list[Part]:
        """The commands of a message: new ones, some decided before, some that are wrong."""
        rng, record = self._rng, self._record
        parts: list[Part] = [(wire(entry), partial(record.hear, entry)) for entry in entries]
        if self._last and rng.random() < REPEATED:
            again = rng.choice(self._last)
            parts.insert(0, (wire(again), partial(record.hear, again)))
        if self._last and rng.random() < REUSED:
            victim = rng.choice(self._last)
            record.reused.add(victim.id)
            kind, fields = self._workload.other_payload(victim.kind)
            other = command(kind, victim.user_id, fields, command_id=victim.id)
            parts.append((other, self._hear_of_reuse))
        if rng.random() < UNREADABLE:
            wrong = command("set_quantity", self._user_ids[0], {"quantity": -1})
            record.unreadable.add(wrong["command_id"])
            parts.insert(rng.randrange(len(parts) + 1), (wrong, self._hear_of_unreadable))
        return parts

    async def _carry_through(self, parts: list[Part], entries: list[Entry]) -> None:
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        body = json.dumps([document for document, _ in parts]).encode()
        replied = asyncio.Event()

        def hear(documents: list[str]) -> None:
            for (_, listener), document in zip(parts, documents, strict=True):
                listener(document)
            replied.set()

        while not await self._queue_client.publish(body, hear) and not replied.is_set():
            for entry in entries:
                self._record.doubt(entry, "no confirm")
            if time.monotonic() > give_up_at:
                self._record.strange.append("a message was not taken for 120 s")
                return
            await asyncio.sleep(RETRY_SECONDS)
        for entry in entries:
            entry.accepted = True
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                await replied.wait()
        except TimeoutError:
            await self._look_up(entries, give_up_at)

    async def _look_up(self, entries: list[Entry], give_up_at: float) -> None:
        """Look until all are decided. They are handed in no more: they must not get lost."""
        for entry in entries:
            self._record.doubt(entry, "no reply")
        while unknown := [entry for entry in entries if not entry.is_known]:
            if time.monotonic() > give_up_at:
                self._record.strange += [f"{entry.id} was never decided" for entry in unknown]
                return
            documents = await self._database.documents_or_none([entry.id for entry in unknown])
            for entry in unknown:
                if entry.id in documents:
                    self._record.hear(entry, documents[entry.id])
            await asyncio.sleep(POLL_SECONDS)

    def _hear_of_reuse(self, document: str) -> None:
        if REUSED_CODE not in document:
            self._record.strange.append(f"another payload under a known ID got {document}")

    def _hear_of_unreadable(self, document: str) -> None:
        if '"code":"unprocessable"' not in document:
            self._record.strange.append(f"what cannot be read got {document}")


def wire(entry: Entry) -> Document:
    return command(
        entry.kind,
        entry.user_id,
        entry.fields,
        command_id=entry.id,
        submitted_at=entry.submitted_at,
        deadline=entry.deadline,
    )
