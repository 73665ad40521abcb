"""Group commit: commands that arrive while a transaction runs are decided together in the next.

A lone command is decided at once. Under load, hundreds of commands share a row lock, a round trip
and an fsync. No timer delays a command while the worker is idle.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.commands import Command
from shared.messages import UnreadCommand
from shared.outcomes import encode_outcome, refused
from shared.refusals import Unprocessable
from worker import faults
from worker.apply import AppliedBatch
from worker.domain.locks import Due
from worker.storage.outcomes import EncodedOutcome
from worker.telemetry import RETRIES, observe_batch

logger = logging.getLogger(__name__)

MAX_BATCH_COMMANDS = 500
MAX_CONCURRENT_BATCHES = 2
"""One batch is decided while another waits for its locks or its commit."""
OVERLAP_COMMANDS = 100
"""How many waiting commands start a second batch beside one in flight. Fewer are cheaper in the
next batch: with messages of one command, batches become twice as large, and commands cost a fifth
less CPU."""
OVERLAP_SECONDS = 0.05
"""After this long a batch counts as stalled; any waiting command then starts the next."""

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
MAX_CONFLICTS = 5
"""How often a unique violation counts as a race with another worker, and is retried."""
MAX_TIMEOUTS = 3
"""How often a batch may time out before it is halved: a slow Postgres might never finish a whole
batch."""


class Apply(Protocol):
    """The unit of work, as the committer needs it."""

    def __call__(
        self,
        commands: Sequence[Command | UnreadCommand],
        due: Sequence[Due] = (),
        *,
        forced_refusal: Unprocessable | None = None,
    ) -> Awaitable[AppliedBatch]: ...


@dataclass(slots=True, eq=False)
class PendingWork:
    """The commands of one message, or the due holds of one sweep; the future of their outcomes."""

    commands: Sequence[Command]
    due: Sequence[Due]
    outcomes: "asyncio.Future[list[EncodedOutcome]]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Committer:
    """Decides submitted commands in batches, from `start` to `stop`."""

    def __init__(self, apply: Apply) -> None:
        self._apply = apply
        self._waiting: deque[PendingWork] = deque()
        self._waiting_commands = 0
        self._may_take = asyncio.Event()
        self._in_flight = 0
        self._is_overdue = False
        """Whether the newest batch has been in flight for `OVERLAP_SECONDS`."""
        self._overlap_timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def submit(
        self, commands: Sequence[Command], due: Sequence[Due] = ()
    ) -> "asyncio.Future[list[EncodedOutcome]]":
        """Return a future of the outcome of each command, set once it is committed.

        The holds of `due` end in the same transaction. Transient faults of Postgres
        are retried indefinitely. The future is cancelled if the committer stops before.
        """
        work = PendingWork(commands, due)
        self._waiting.append(work)
        self._waiting_commands += len(commands)
        self._may_take.set()
        return work.outcomes

    def start(self) -> None:
        """Start deciding."""
        self._tasks = [
            asyncio.create_task(self._run_batches(), name=f"batches {n}")
            for n in range(MAX_CONCURRENT_BATCHES)
        ]

    async def stop(self) -> None:
        """Stop. Undecided commands are abandoned; the broker redelivers their messages."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for work in self._waiting:
            work.outcomes.cancel()

    async def _run_batches(self) -> None:
        while True:
            batch = await self._take()
            commands = [command for work in batch for command in work.commands]
            due = [hold for work in batch for hold in work.due]
            try:
                outcomes = await self._commit(commands, due)
            except asyncio.CancelledError:
                for work in batch:
                    work.outcomes.cancel()
                raise
            self._in_flight -= 1
            self._may_take.set()
            start = 0
            for work in batch:
                end = start + len(work.commands)
                if not work.outcomes.done():  # cancelled, if its connection was lost
                    work.outcomes.set_result(outcomes[start:end])
                start = end

    async def _take(self) -> list[PendingWork]:
        """Wait until a batch is worthwhile, and return all that fits into one."""
        while not self._is_batch_worthwhile():
            self._may_take.clear()
            await self._may_take.wait()
        batch = [self._waiting.popleft()]
        size = len(batch[0].commands)
        while self._waiting and size + len(self._waiting[0].commands) <= MAX_BATCH_COMMANDS:
            batch.append(self._waiting.popleft())
            size += len(batch[-1].commands)
        self._waiting_commands -= size
        self._in_flight += 1
        self._is_overdue = False
        if self._overlap_timer is not None:
            self._overlap_timer.cancel()
        loop = asyncio.get_running_loop()
        self._overlap_timer = loop.call_later(OVERLAP_SECONDS, self._on_overlap_timer)
        return batch

    def _is_batch_worthwhile(self) -> bool:
        return bool(self._waiting) and (
            not self._in_flight or self._is_overdue or self._waiting_commands >= OVERLAP_COMMANDS
        )

    def _on_overlap_timer(self) -> None:
        self._is_overdue = True
        self._may_take.set()

    async def _commit(
        self, commands: Sequence[Command], due: Sequence[Due]
    ) -> list[EncodedOutcome]:
        """Apply until it succeeds. A permanent error is bisected down to its command."""
        conflicts = timeouts = 0
        for pause in _backoff():
            try:
                return await self._apply_once(commands, due)
            except Exception as error:
                conflicts += faults.sqlstate(error) == faults.CONFLICT
                timeouts += faults.took_too_long(error)
                permanent = not faults.is_transient(error) or conflicts > MAX_CONFLICTS
                is_too_large = timeouts >= MAX_TIMEOUTS and len(commands) + len(due) > 1
                if permanent or is_too_large:
                    return await self._bisect(commands, due, error)
                RETRIES.inc()
                logger.warning(
                    "a batch of %d is retried: %s", len(commands), faults.first_line(error)
                )
            await asyncio.sleep(pause)
        raise AssertionError("the pauses never end")

    async def _bisect(
        self, commands: Sequence[Command], due: Sequence[Due], error: Exception
    ) -> list[EncodedOutcome]:
        """Apply the halves one by one.

        A single command that fails is refused. A single due cart or order that fails stays as it
        is until an operator repairs it.
        """
        if commands and due:
            outcomes = await self._commit(commands, ())
            await self._commit((), due)
            return outcomes
        if len(due) > 1:
            half = len(due) // 2
            for some in (due[:half], due[half:]):
                await self._commit((), some)
            return []
        if due:
            ((user_id, order_id),) = due
            logger.error(
                "the due hold of user %s (%s) cannot end: %s",
                user_id,
                f"order {order_id}" if order_id else "the cart",
                faults.first_line(error),
            )
            return []
        if len(commands) > 1:
            half = len(commands) // 2
            first = await self._commit(commands[:half], ())
            return first + await self._commit(commands[half:], ())
        return [await self.refuse(command, error) for command in commands]

    async def refuse(
        self,
        command: Command | UnreadCommand,
        error: Exception,
        reason: Unprocessable | None = None,
    ) -> EncodedOutcome:
        """Refuse a command undecided, because of `error`, and have it dead-lettered."""
        logger.error("command %s is refused", command.command_id, exc_info=error)
        reason = reason or Unprocessable()
        for pause in _backoff():
            try:
                return (await self._apply_once([command], (), forced_refusal=reason))[0]
            except Exception as next_error:
                if not faults.is_transient(next_error):
                    logger.exception(
                        "the outcome of command %s is not recorded", command.command_id
                    )
                    document = encode_outcome(refused(command, reason, decided_at=None))
                    return EncodedOutcome(document, dead_letter=True)
            await asyncio.sleep(pause)
        raise AssertionError("the pauses never end")

    async def _apply_once(
        self,
        commands: Sequence[Command | UnreadCommand],
        due: Sequence[Due],
        forced_refusal: Unprocessable | None = None,
    ) -> list[EncodedOutcome]:
        started = time.perf_counter()
        applied = await self._apply(commands, due, forced_refusal=forced_refusal)
        observe_batch(applied.batch, len(commands), time.perf_counter() - started)
        return applied.outcomes


def _backoff() -> Iterator[float]:
    """Yield the seconds to wait before each attempt: doubled up to a bound, with jitter."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
