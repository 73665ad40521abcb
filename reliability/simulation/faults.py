"""What may go wrong, and where: drawn from the seed at every step of a worker."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Protocol

import asyncpg

ERRORS: tuple[Callable[[], Exception], ...] = (
    lambda: asyncpg.LockNotAvailableError("canceling statement due to lock timeout"),
    lambda: asyncpg.DeadlockDetectedError("deadlock detected"),
    lambda: asyncpg.SerializationError("could not serialize access"),
    lambda: asyncpg.QueryCanceledError("canceling statement due to statement timeout"),
    lambda: asyncpg.DiskFullError("could not extend file: No space left on device"),
    lambda: asyncpg.ReadOnlySQLTransactionError("cannot execute UPDATE"),
    TimeoutError,
)
"""What a statement may answer instead; each passes."""

LONGEST_PAUSE_SECONDS = 4.0
"""Longer than a lock is waited for."""

LONGEST_STALL_SECONDS = 8.0
"""Longer than a worker tries to write."""


class Victim(Protocol):
    """A worker, as a fault sees it."""

    name: str

    def kill(self) -> None: ...
    def pause(self, seconds: float) -> None: ...
    def cut_channel(self) -> None: ...
    async def go_on(self) -> None: ...


class Faults:
    """Injects faults at named points until it is disabled."""

    def __init__(self, random: Random, note: Callable[[str, str], None]) -> None:
        self._random = random
        self._note = note
        # Some seeds are calm, and show the races of a system in health; some are all storm.
        self._rate = random.choice((0.0, 0.003, 0.02, 0.06))
        self.loss_rate = random.choice((0.0, 0.02, 0.1))
        """How often a message, or the answer to one, is lost on its way."""

    def rest(self) -> None:
        self._rate = self.loss_rate = 0.0

    @property
    def rests(self) -> bool:
        return self._rate == 0.0

    def loses(self) -> bool:
        """Whether something is lost on its way now."""
        return self._random.random() < self.loss_rate

    def coin(self) -> bool:
        return self._random.random() < 0.5

    def delay(self, longest_seconds: float) -> float:
        """Draw a duration: mostly short, sometimes long."""
        share = self._random.random()
        return longest_seconds * share * share * share

    async def at_statement(self, point: str, victim: Victim) -> None:
        """Inject a fault before or after a statement; may raise an error of Postgres."""
        if self._random.random() >= self._rate:
            return
        if self._random.random() < 0.5:
            error = self._random.choice(ERRORS)()
            self._note(victim.name, f"{point}: {type(error).__name__}")
            raise error
        await self.at(point, victim)

    def breaks_connection(self, point: str, victim: Victim) -> bool:
        """Return whether the connection to Postgres breaks now."""
        if self._random.random() >= self._rate:
            return False
        self._note(victim.name, f"{point}: the connection to Postgres breaks")
        return True

    async def at(self, point: str, victim: Victim) -> None:
        """Inject a fault that may hit a worker anywhere."""
        if self._random.random() >= self._rate:
            return
        match self._random.randrange(3):
            case 0:
                await self.die(victim, point)
            case 1:
                seconds = self.delay(LONGEST_PAUSE_SECONDS)
                self._note(victim.name, f"{point}: stopped for {seconds:.2f} s")
                victim.pause(seconds)
                await victim.go_on()
            case _:
                self._cut_off(victim, point)

    async def at_write(self, point: str, victim: Victim) -> None:
        """Inject a fault between two frames to the broker."""
        if self._random.random() >= self._rate:
            return
        match self._random.randrange(3):
            case 0:
                await self.die(victim, point)
            case 1:
                seconds = self.delay(LONGEST_STALL_SECONDS)
                self._note(victim.name, f"{point}: the broker takes nothing for {seconds:.2f} s")
                await asyncio.sleep(seconds)
            case _:
                self._cut_off(victim, point)

    def _cut_off(self, victim: Victim, point: str) -> None:
        self._note(victim.name, f"{point}: cut off from the broker")
        victim.cut_channel()

    async def die(self, victim: Victim, point: str) -> None:
        self._note(victim.name, f"{point}: killed")
        victim.kill()
        await forever()


async def forever() -> None:
    """Wait to be cancelled."""
    await asyncio.get_running_loop().create_future()
