"""The memory of each part of the system over a long run, through the queue and then over HTTP."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import uvloop

from loadtest.bench.cases.catalogue import BUYERS_200, MANY_BUYERS, QUEUE_100
from loadtest.bench.growth.whole_books import check_whole_books
from loadtest.bench.memory.footprint import Footprint, footprints
from loadtest.bench.system.deployment import Deployment
from loadtest.bench.system.processes import SystemProcesses
from loadtest.checks.auditors import DatabaseAuditor
from loadtest.checks.balance import check_balance
from loadtest.fixtures import Fixtures, set_fixtures_through_queue
from loadtest.http.fixtures import set_fixtures_over_http
from loadtest.http.load_generator import HttpLoad
from loadtest.options import HttpOptions
from loadtest.progress import Progress, say
from loadtest.queue.client import QueueClient
from loadtest.queue.load_generator import QueueLoad, SendRate
from loadtest.runner import DRAIN_SECONDS, Load, backlog

SAMPLES = 10
"""So many for the commands that were asked for: each 100,000 of a million."""
HTTP_SHARE = 2
"""Over HTTP, which is slower, at most the half of the commands."""
POLL_SECONDS = 0.1
QUIET = Progress(quiet=True)

Way = Literal["queue", "http"]


@dataclass(frozen=True, slots=True)
class Sample:
    """What everything took after so many commands of its way."""

    way: Way
    commands: int
    elapsed_seconds: float
    footprints: dict[str, Footprint]

    def mb(self, part: str) -> float:
        """Return what a part takes: RSS, but PSS of Postgres, whose backends share buffers."""
        footprint = self.footprints[part]
        if part == "postgres" and footprint.pss_mb is not None:
            return footprint.pss_mb
        return footprint.rss_mb


@dataclass(slots=True)
class Stretch:
    """One way of sending, from its first command to its last."""

    way: Way
    step: int
    samples: list[Sample] = field(default_factory=list)
    marks: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the start, and the answers until then; one about every second."""


@dataclass(slots=True)
class Memory:
    """What was measured."""

    commands: int
    stretches: list[Stretch]
    findings: list[str]
    """Where the books do not balance."""


def measure_memory(deployment: Deployment, commands: int, seconds: float) -> Memory:
    """Send through the queue until so many commands and seconds have passed, then over HTTP.

    Raises `PreparationError`, `BrokerError` or `Unavailable`.
    """
    deployment.serve(workers=1, gateways=1)
    return uvloop.run(_both_ways(deployment, commands, seconds))


async def _both_ways(deployment: Deployment, commands: int, seconds: float) -> Memory:
    step = max(1, commands // SAMPLES)
    queue, http = Stretch("queue", step), Stretch("http", step)
    findings = await _through_queue(
        deployment, queue, lambda answered, passed: answered >= commands and passed >= seconds
    )
    most = commands // HTTP_SHARE
    findings += await _over_http(
        deployment, http, lambda answered, passed: answered >= most or passed >= seconds
    )
    findings += await check_whole_books(deployment.database_url)
    return Memory(commands, [queue, http], findings)


Enough = Callable[[int, float], bool]
"""Tells from the answers and the seconds whether a stretch may end."""


async def _through_queue(deployment: Deployment, stretch: Stretch, enough: Enough) -> list[str]:
    async with AsyncExitStack() as stack:
        queue_client = await stack.enter_async_context(QueueClient(deployment.broker_url))
        fixtures = await set_fixtures_through_queue(queue_client, MANY_BUYERS, QUIET)
        pace = SendRate(QUEUE_100.commands_per_message, QUEUE_100.messages_in_flight)
        load = QueueLoad(MANY_BUYERS, fixtures, pace, warm_up_seconds=0)
        await load.connect(deployment.broker_url)
        stack.push_async_callback(load.close)
        await _send(load, stretch, enough, deployment.processes())
        return await _findings(load, deployment, fixtures)


async def _over_http(deployment: Deployment, stretch: Stretch, enough: Enough) -> list[str]:
    options = HttpOptions(
        BUYERS_200,
        tuple(deployment.gateway_urls),
        broker_url=deployment.broker_url,
        jwt_secret=deployment.jwt_secret,
    )
    fixtures, tokens = await set_fixtures_over_http(options, QUIET)
    load = HttpLoad(options, fixtures, tokens)
    try:
        await load.connect(QUIET)
        await _send(load, stretch, enough, deployment.processes())
        return await _findings(load, deployment, fixtures)
    finally:
        load.close()


async def _findings(load: Load, deployment: Deployment, fixtures: Fixtures) -> list[str]:
    verdict = await check_balance(load.counters, DatabaseAuditor(deployment.database_url, fixtures))
    return verdict.findings


async def _send(load: Load, stretch: Stretch, enough: Enough, processes: SystemProcesses) -> None:
    """Send until it is enough, and await the answers; a sample at each step."""
    start = perf_counter()
    _take_sample(stretch, 0, 0.0, processes)
    load.start(start)
    try:
        while not enough(load.counters.answered, perf_counter() - start):
            await asyncio.sleep(POLL_SECONDS)
            _look(load, stretch, perf_counter() - start, processes)
        load.stop_sending(perf_counter())
        give_up_at = perf_counter() + DRAIN_SECONDS
        # Looked for and not waited for: answers must cost nothing to take.
        while backlog(load, perf_counter()) and perf_counter() < give_up_at:  # noqa: ASYNC110 - see above
            await asyncio.sleep(POLL_SECONDS)
    finally:
        load.stop_sending(perf_counter())
    stretch.marks.append((perf_counter() - start, load.counters.answered))
    _take_sample(stretch, load.counters.answered, perf_counter() - start, processes)


def _look(load: Load, stretch: Stretch, passed: float, processes: SystemProcesses) -> None:
    answered = load.counters.answered
    if passed >= (stretch.marks[-1][0] if stretch.marks else 0.0) + 1.0:
        stretch.marks.append((passed, answered))
        load.look_after(perf_counter())
    if answered // stretch.step > stretch.samples[-1].commands // stretch.step:
        _take_sample(stretch, answered, passed, processes)


def _take_sample(
    stretch: Stretch, answered: int, passed: float, processes: SystemProcesses
) -> None:
    sample = Sample(stretch.way, answered, round(passed, 2), footprints(processes))
    stretch.samples.append(sample)
    taken = ", ".join(f"{part} {sample.mb(part):,.0f}" for part in sample.footprints)
    say(f"{stretch.way:<5} {passed:>6.0f} s  {answered:>10,} commands   MB: {taken}")
