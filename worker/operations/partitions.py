"""Keeps a partition ready for the outcomes of each day, and drops those past retention."""

import asyncio
import logging
import random
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from worker import faults
from worker.telemetry import PARTITIONS_AHEAD

logger = logging.getLogger(__name__)

DAYS_AHEAD = 4
"""How many days after today are made ready: as long may all workers be away without any harm."""
ALARM_DAYS_AHEAD = 3
"""Fewer: for a day or longer none could be made."""

INTERVAL_SECONDS = 3_600.0
RETRY_SECONDS = 5.0
DROP_TRIES = 100
DROP_PAUSE_SECONDS = 0.05
"""A drop never waits for its lock, for others would wait behind it: it looks in now and then."""

LOCK_NOT_AVAILABLE = "55P03"


class NoPartitionError(OSError):
    """Today's outcomes have no place; it passes when somebody makes one."""


class Partitions:
    """The partitions of the outcomes, as far as this worker knows them."""

    def __init__(self, engine: AsyncEngine, retention: timedelta) -> None:
        self._engine = engine
        self._retention = retention
        self._end: date | None = None
        """The first day without a partition, from today on."""
        PARTITIONS_AHEAD.set_function(lambda: max(self.days_ahead, 0))

    @property
    def days_ahead(self) -> int:
        """For how many days after today there is a place; less than 0 where today has none."""
        return -1 if self._end is None else (self._end - _today()).days - 1

    async def keep(self) -> None:
        """Make and drop what is due, for ever."""
        while True:
            pause_seconds = INTERVAL_SECONDS
            try:
                await self.make()
                await self.drop()
            except Exception as error:
                logger.warning("the partitions are seen to again: %s", _line(error))
                pause_seconds = RETRY_SECONDS
            if self.days_ahead < ALARM_DAYS_AHEAD:
                logger.error(
                    "partitions for outcomes are ready for %d days after today, and not for %d: "
                    "when they run out, no command is decided",
                    max(self.days_ahead, 0),
                    DAYS_AHEAD,
                )
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))

    async def require_partition(self) -> None:
        """Make sure that today's outcomes have a partition. Raises NoPartitionError."""
        if self.days_ahead < 0:
            await self._make_today()

    async def make(self) -> None:
        """Make the partitions that are missing. Raises where the clocks here and there differ."""
        async with self._engine.begin() as connection:
            until = {"until": _today() + timedelta(days=DAYS_AHEAD)}
            self._end = (await connection.execute(MAKE_PARTITIONS, until)).scalar_one()

    async def drop(self) -> int:
        """Drop what is past retention, once a moment comes in which nobody is at the outcomes.

        Return how many went. Where no such moment comes, they stay until the next round.
        """
        before = (datetime.now(UTC) - self._retention).date()
        for _ in range(DROP_TRIES):
            try:
                async with self._engine.begin() as connection:
                    dropped = await connection.execute(DROP_PARTITIONS, {"before": before})
                    return int(dropped.scalar_one())
            except DBAPIError as error:
                if faults.sqlstate(error) != LOCK_NOT_AVAILABLE:
                    raise
            await asyncio.sleep(DROP_PAUSE_SECONDS * random.uniform(0.5, 1.5))
        logger.info("old outcomes are dropped later: somebody was at them all the time")
        return 0

    async def _make_today(self) -> None:
        try:
            await self.make()
        except Exception as error:
            raise NoPartitionError(f"no partition for today: {_line(error)}") from None
        if self.days_ahead < 0:
            raise NoPartitionError("no partition for today")


def _today() -> date:
    return datetime.now(UTC).date()


def _line(error: Exception) -> str:
    """The first line of an error: the rest quotes the statement."""
    return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


MAKE_PARTITIONS = text("SELECT booking.make_outcome_partitions(:until)")
DROP_PARTITIONS = text("SELECT booking.drop_outcome_partitions(:before)")
