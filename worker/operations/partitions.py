"""Creates a partition of the outcomes for each day ahead, and drops those past retention."""

import asyncio
import functools
import logging
import random
from datetime import UTC, date, datetime, timedelta

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from worker import faults
from worker.apply import apply
from worker.committer import Committer
from worker.domain.book import Rules
from worker.telemetry import PARTITIONS_AHEAD

logger = logging.getLogger(__name__)

DAYS_AHEAD = 4
"""How many days after today get a partition. All workers may be down for as long."""
ALARM_DAYS_AHEAD = 3
"""With fewer days ahead, no partition could be created for at least a day."""

INTERVAL_SECONDS = 3_600.0
RETRY_SECONDS = 5.0
DROP_TRIES = 100
DROP_PAUSE_SECONDS = 0.05
"""A drop never waits for its lock, since other transactions would queue behind it. It retries."""

LOCK_NOT_AVAILABLE = "55P03"


def create_committer(engine: AsyncEngine, rules: Rules) -> tuple[Committer, "Partitions"]:
    """Return a committer that applies no batch without a partition, and the partitions."""
    partitions = Partitions(engine, rules.retention)
    committer = Committer(
        functools.partial(apply, engine, rules, require_partition=partitions.require_partition)
    )
    return committer, partitions


class NoPartitionError(OSError):
    """Today's outcomes have no partition. Transient: it is created again and again."""


class Partitions:
    """The partitions of the outcomes that this worker knows of."""

    def __init__(self, engine: AsyncEngine, retention: timedelta) -> None:
        self._engine = engine
        self._retention = retention
        self._end: date | None = None
        """The first day without a partition, from today on."""
        PARTITIONS_AHEAD.set_function(lambda: max(self.days_ahead, 0))

    @property
    def days_ahead(self) -> int:
        """How many days after today have a partition; -1 if today has none."""
        return -1 if self._end is None else (self._end - _today()).days - 1

    async def run(self) -> None:
        """Create and drop partitions until cancelled."""
        while True:
            pause_seconds = INTERVAL_SECONDS
            try:
                await self.create_missing()
                await self.drop()
            except Exception as error:
                logger.warning(
                    "creating and dropping partitions is retried: %s", faults.first_line(error)
                )
                pause_seconds = RETRY_SECONDS
            if self.days_ahead < ALARM_DAYS_AHEAD:
                logger.error(
                    "partitions exist for %d days after today instead of %d: "
                    "when they run out, no command is decided",
                    max(self.days_ahead, 0),
                    DAYS_AHEAD,
                )
            await asyncio.sleep(pause_seconds * random.uniform(0.5, 1.0))

    async def require_partition(self) -> None:
        """Make sure that today's outcomes have a partition. Raises NoPartitionError."""
        if self.days_ahead < 0:
            await self._create_today()

    async def create_missing(self) -> None:
        """Create missing partitions. Raises if the clocks of worker and Postgres differ by days."""
        async with self._engine.begin() as connection:
            until = {"until": _today() + timedelta(days=DAYS_AHEAD)}
            self._end = (await connection.execute(MAKE_PARTITIONS, until)).scalar_one()

    async def drop(self) -> int:
        """Drop partitions past retention, at a moment when no transaction uses the outcomes.

        Return their number; 0 if there was no such moment until the last attempt.
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
        logger.info("old outcomes are dropped later: the table was always in use")
        return 0

    async def _create_today(self) -> None:
        try:
            await self.create_missing()
        except Exception as error:
            raise NoPartitionError(f"no partition for today: {faults.first_line(error)}") from None
        if self.days_ahead < 0:
            raise NoPartitionError("no partition for today")


def _today() -> date:
    return datetime.now(UTC).date()


MAKE_PARTITIONS = text("SELECT booking.make_outcome_partitions(:until)")
DROP_PARTITIONS = text("SELECT booking.drop_outcome_partitions(:before)")
