"""Measures what buyers notice of each situation: the queue, 100 commands a message, each new."""

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import TypeVar

import uvloop

from loadtest.bench.cases.catalogue import QUEUE_NEW
from loadtest.bench.cases.new_buyers import check_each_came_once, register_new_buyers
from loadtest.bench.cliffs import situations
from loadtest.bench.system.deployment import Deployment
from loadtest.options import QueueOptions
from loadtest.progress import Progress, say
from loadtest.queue.run import run_queue
from loadtest.report.result import Result

T = TypeVar("T")
QUIET = Progress(quiet=True)
MAX_RATE = 40_000
"""Buyers are registered for so many commands a second."""
DUE_HOLDS = 50_000
BEFORE_SECONDS = 10.0
"""How long after the start the holds fall due: they are inserted in the first seconds."""
STEADY_FROM_SECOND = 6
"""From this second to the one before the holds fall due is the rate to compare with."""
AFTER_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Opening:
    """The first seconds of a sale in one state of the tables, against later ones."""

    state: str
    first_rate: float
    later_rate: float
    findings: tuple[str, ...]

    @property
    def ratio(self) -> float:
        return self.first_rate / self.later_rate


@dataclass(frozen=True, slots=True)
class DueHolds:
    """What buyers notice while many holds fall due at once."""

    of: str
    rate_before: float
    worst_rate: float
    mean_rate: float
    """Until all were free, in whole seconds."""
    worst_p99_ms: float
    """Of one second."""
    free_seconds: float
    findings: tuple[str, ...]


def measure_opening(state: str, deployment: Deployment, seconds: float) -> Opening:
    """Measure the first seconds in a state, analyze, and measure again.

    The worker has been running before: it has plans from empty tables.
    """
    deployment.serve(1, 1)
    _do(deployment, situations.STATES[state])
    first = _run(deployment, seconds)
    _do(deployment, lambda connection: connection.execute("VACUUM ANALYZE"))
    later = _run(deployment, seconds)
    say(f"{state}: {first.rate:,.0f}/s, later {later.rate:,.0f}/s")
    return Opening(state, first.rate, later.rate, _findings(first, later))


def measure_due_holds(deployment: Deployment, *, same_type: bool) -> DueHolds:
    """Let holds fall due while buyers come for the same ticket type, or for another."""
    deployment.serve(1, 1)
    watch = _Watch(deployment.database_url, same_type=same_type)
    result = _run(deployment, BEFORE_SECONDS + AFTER_SECONDS, watch)
    due = int(BEFORE_SECONDS) + 1
    before = [row.rate for row in result.timeline[STEADY_FROM_SECOND - 1 : due - 1]]
    free_seconds = min(watch.free_seconds, AFTER_SECONDS)
    until = due + max(1, math.ceil(free_seconds))
    meanwhile = result.timeline[due - 1 : until]
    of = "the same type" if same_type else "another type"
    measured = DueHolds(
        of,
        median(before),
        min(row.rate for row in meanwhile),
        sum(row.rate for row in meanwhile) / len(meanwhile),
        max(row.p99_ms or 0.0 for row in meanwhile),
        watch.free_seconds,
        _findings(result),
    )
    say(f"due holds of {of}: {[round(row.rate) for row in result.timeline]}")
    return measured


def measure_idle_expiry(deployment: Deployment) -> float:
    """Return the seconds that due holds take to be free while no buyer comes."""
    deployment.serve(1, 1)

    async def expire(connection: situations.Connection) -> float:
        ticket_type = await situations.make_ticket_type(connection)
        due_at = await situations.hold(connection, ticket_type, DUE_HOLDS, due_in=3.0)
        return await situations.all_free(connection, ticket_type, due_at)

    return _do(deployment, expire)


class _Watch:
    """Inserts the holds when the load begins, and notes when they are free."""

    def __init__(self, database_url: str, *, same_type: bool) -> None:
        self.free_seconds = math.inf
        """How long after they fell due all were free; endless if the run ended before."""
        self._database_url = database_url
        self._same_type = same_type
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._watch())

    def stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.cancel()

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        connection = await situations.connect(self._database_url)
        try:
            choose = (
                situations.newest_ticket_type if self._same_type else situations.make_ticket_type
            )
            ticket_type = await choose(connection)
            due_in = BEFORE_SECONDS - (loop.time() - started)
            due_at = await situations.hold(connection, ticket_type, DUE_HOLDS, due_in)
            await asyncio.sleep(started + BEFORE_SECONDS - loop.time())
            self.free_seconds = await situations.all_free(connection, ticket_type, due_at)
        finally:
            await connection.close()


def _run(deployment: Deployment, seconds: float, meter: _Watch | None = None) -> Result:
    count = int(seconds * MAX_RATE)
    buyers = uvloop.run(register_new_buyers(deployment.database_url, count))
    options = QueueOptions(
        replace(QUEUE_NEW.workload, buyers=count),
        deployment.broker_url,
        database_url=deployment.database_url,
        seconds=seconds,
    )
    return check_each_came_once(uvloop.run(run_queue(options, QUIET, meter, buyers)), count)


def _do(deployment: Deployment, work: Callable[[situations.Connection], Awaitable[T]]) -> T:
    async def connected() -> T:
        connection = await situations.connect(deployment.database_url)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return uvloop.run(connected())


def _findings(*results: Result) -> tuple[str, ...]:
    return tuple(finding for result in results if result.books for finding in result.books.findings)
