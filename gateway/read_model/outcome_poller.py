"""Polls the read model for awaited outcomes, with one query for all of them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from time import monotonic

from gateway.http.problems import ProblemError
from gateway.outcome_document import DecidedOutcome, read_document
from gateway.telemetry import Metrics
from shared.commands import Command, unread_fingerprint
from shared.outcomes import Outcome, encode_outcome
from shared.refusals import CommandIdReused

POLL_INTERVAL_SECONDS = 0.05
REST_FACTOR = 4
"""Sleeps this multiple of the last query's duration, so that polling backs off when the database is
slow."""
BACKOFF_SECONDS = 0.5
"""How long to wait after a query that failed."""
MAX_IDS_PER_QUERY = 1_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OutcomeRow:
    """A row of `read_model.outcomes`."""

    command_id: str
    user_id: str
    document: str
    fingerprint: bytes

    def outcome_for(self, user_id: str, fingerprint: bytes | None) -> DecidedOutcome | None:
        """Return the outcome that this user may see; None if the user may not see this row.

        A user who gives the fingerprint of their own command gets `command_id_reused` if the row
        belongs to another command: the worker refuses their command with that code.
        """
        known = (None, self.fingerprint)
        if self.user_id == user_id and (fingerprint in known or self._was_unread()):
            return read_document(self.document)
        return None if fingerprint is None else read_document(_reused(self.command_id))

    def _was_unread(self) -> bool:
        """Tell whether this outcome answers each payload, because none could be read."""
        return self.fingerprint == unread_fingerprint(self.user_id)


def _reused(command_id: str) -> str:
    refusal = CommandIdReused()
    return encode_outcome(Outcome(command_id, None, "refused", None, None, None, refusal))


Find = Callable[[list[str]], Awaitable[list[OutcomeRow]]]


@dataclass(eq=False, slots=True)
class _Waiter:
    user_id: str
    fingerprint: bytes | None
    found: asyncio.Future[DecidedOutcome | None]

    def take(self, row: OutcomeRow) -> None:
        """Resolve with the outcome in the row, if this waiter may see it."""
        if not self.found.done():
            outcome = row.outcome_for(self.user_id, self.fingerprint)
            if outcome is not None:
                self.found.set_result(outcome)


class OutcomePoller:
    """Polls for all awaited outcomes together, only while there are any."""

    def __init__(self, find: Find, metrics: Metrics) -> None:
        self._find = find
        self._waiters: dict[str, set[_Waiter]] = {}
        self._polling: asyncio.Task[None] | None = None
        self._poll_now = asyncio.Event()
        self.closing = False
        self.idle = 0
        """The number of requests whose only work is to wait for an outcome."""
        metrics.awaiting_outcome.set_function(lambda: len(self._waiters))

    async def find_now(
        self, command_id: str, user_id: str, fingerprint: bytes | None = None
    ) -> DecidedOutcome | None:
        """Return the recorded outcome that this user may see. Raises `ProblemError`.

        With `fingerprint`, only the outcome of the command that has it.
        """
        for row in await self._find([command_id]):
            return row.outcome_for(user_id, fingerprint)
        return None

    async def wait_for(
        self, command_id: str, user_id: str, seconds: float, fingerprint: bytes | None = None
    ) -> DecidedOutcome | None:
        """Await what `find_now` returns; None if there is no outcome in time."""
        found: asyncio.Future[DecidedOutcome | None] = asyncio.get_running_loop().create_future()
        self.idle += 1
        try:
            with self._waiting(command_id, _Waiter(user_id, fingerprint, found)):
                return await result_within(found, seconds)
        finally:
            self.idle -= 1

    @contextmanager
    def polling_for(
        self, command: Command, found: asyncio.Future[DecidedOutcome | None]
    ) -> Iterator[None]:
        """Resolve `found` with the recorded outcome of this command, during the context."""
        waiter = _Waiter(command.user_id, command.fingerprint(), found)
        with self._waiting(command.command_id, waiter):
            yield

    def notify(self, command_ids: Iterable[str | None]) -> None:
        """Poll at once if one of these commands, which were just decided, is still awaited.

        A request that the reply itself resolved needs no poll.
        """
        if any(
            not waiter.found.done()
            for command_id in command_ids
            for waiter in self._waiters.get(command_id or "", ())
        ):
            self._poll_now.set()

    def close(self) -> None:
        """End every wait: the process is about to stop."""
        self.closing = True
        self._poll_now.set()
        for waiters in self._waiters.values():
            for waiter in waiters:
                if not waiter.found.done():
                    waiter.found.set_result(None)

    @contextmanager
    def _waiting(self, command_id: str, waiter: _Waiter) -> Iterator[None]:
        if self.closing and not waiter.found.done():
            waiter.found.set_result(None)
        waiters = self._waiters.setdefault(command_id, set())
        waiters.add(waiter)
        self._poll_now.set()
        if self._polling is None:
            self._polling = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiters.pop(command_id, None)

    async def _poll(self) -> None:
        try:
            while self._waiters:
                self._poll_now.clear()
                started = monotonic()
                if await self._poll_once():
                    await asyncio.sleep(REST_FACTOR * (monotonic() - started))
                    await self._pause()
                else:
                    await asyncio.sleep(BACKOFF_SECONDS)
        finally:
            self._polling = None

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(POLL_INTERVAL_SECONDS):
                await self._poll_now.wait()

    async def _poll_once(self) -> bool:
        """Query all awaited outcomes; return whether the database answered."""
        awaited = list(self._waiters)
        try:
            for start in range(0, len(awaited), MAX_IDS_PER_QUERY):
                for row in await self._find(awaited[start : start + MAX_IDS_PER_QUERY]):
                    for waiter in self._waiters.get(row.command_id, set()):
                        waiter.take(row)
        except ProblemError as problem:
            _log.warning("cannot read outcomes: %s", problem)
            return False
        except Exception:
            # A bug, perhaps in one document; the other waits must go on.
            _log.exception("cannot read outcomes")
            return False
        return True


async def result_within(
    found: asyncio.Future[DecidedOutcome | None], seconds: float
) -> DecidedOutcome | None:
    """Await `found`; None if that takes longer. Costs half of `asyncio.wait`."""
    timer = found.get_loop().call_later(seconds, _give_up, found)
    try:
        return await found
    finally:
        timer.cancel()


def _give_up(found: asyncio.Future[DecidedOutcome | None]) -> None:
    if not found.done():
        found.set_result(None)
