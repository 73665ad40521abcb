"""Runs one round: creates fixtures, injects faults under load, waits for quiescence, checks."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from dev.progress import say
from reliability.chaos.arguments import Profile
from reliability.chaos.checks.database import Database
from reliability.chaos.checks.monitor import Monitor
from reliability.chaos.checks.quiescence import broker_state, check_at_rest, drained, some
from reliability.chaos.checks.record import Record
from reliability.chaos.checks.recovery import Recoveries
from reliability.chaos.clients.fixtures import TokenIssuer, open_workload
from reliability.chaos.clients.load_generator import USERS, LoadGenerator
from reliability.chaos.clients.queue_client import QueueClient
from reliability.chaos.clients.rate_limiter import RateLimiter
from reliability.chaos.faults.context import Fault, FaultContext
from reliability.chaos.sales.fixtures import open_sale
from reliability.chaos.sales.ledger import Ledger, compare
from reliability.chaos.sales.shoppers import SHOPPERS, Shoppers
from reliability.chaos.system.system_under_test import SystemUnderTest

BEFORE_THE_FIRST_SECONDS = 2.0
BETWEEN_FAULTS_SECONDS = (0.1, 0.8)
SAY_EVERY_SECONDS = 5.0
LOOK_EVERY_SECONDS = 0.2


@dataclass(slots=True)
class Result:
    """What a round did and found."""

    commands: int = 0
    unknown: int = 0
    """Attempts without a definite answer."""
    struck: Counter[str] = field(default_factory=Counter)
    missed: Counter[str] = field(default_factory=Counter)
    """Faults that hit no target: no process passed the crash point."""
    answers: Counter[str] = field(default_factory=Counter)
    recoveries: Recoveries = field(default_factory=Recoveries)
    orders: int = 0
    orders_paid: int = 0
    payments: int = 0
    looks: int = 0
    failed_looks: int = 0
    slowest_look_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What stays from one round to the next."""

    system: SystemUnderTest
    database: Database
    token_issuer: TokenIssuer


async def run_round(
    run_context: RunContext, profile: Profile, faults: Sequence[Fault], commands: int, seed: str
) -> Result:
    """Inject the scheduled faults while at least this many commands are decided."""
    rng = random.Random(seed)
    result = Result()
    record = Record(result.recoveries.succeeded)
    system, database = run_context.system, run_context.database
    async with (
        QueueClient(system.rabbit.url, random.Random(rng.random())) as queue_client,
        Monitor(database) as monitor,
    ):
        fixtures = await open_workload(queue_client, rng, USERS)
        record.prepared = fixtures.command_ids
        sale = await open_sale(queue_client, rng, SHOPPERS)
        pause_seconds = profile.long_pause_seconds
        context = FaultContext(
            system, database, queue_client, record, random.Random(rng.random()), pause_seconds
        )
        urls = [gateway.url for gateway in system.gateways]
        rate_limiter = RateLimiter(profile.commands_per_second)
        async with (
            LoadGenerator(
                fixtures,
                urls,
                run_context.token_issuer,
                queue_client,
                database,
                record,
                rate_limiter,
                rng,
            ) as clients,
            Shoppers(
                sale,
                urls,
                run_context.token_issuer,
                queue_client,
                database,
                rate_limiter,
                random.Random(rng.random()),
            ) as shoppers,
            _said(record, result),
        ):
            await asyncio.sleep(BEFORE_THE_FIRST_SECONDS)
            ends_at = time.monotonic() + profile.strike_seconds
            loud = [fault for fault in faults if not fault.quiet]
            await _strike_all(loud, context, clients, result, profile, ends_at)
            while len(record.entries) < commands:
                clients.check()
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            await shoppers.close()
            await clients.close()
            for fault in faults:
                if fault.quiet and time.monotonic() < ends_at:
                    result.violations += await drained(system)
                    await _strike_quietly(fault, context, clients, result)
                    await clients.rest()
        result.violations += await check_at_rest(
            system, database, record, result.recoveries, fixtures.workload
        )
        result.violations += some(compare(shoppers.ledger, await database.sale(sale.event_id)))
        result.violations += [*monitor.findings, *context.findings, *record.strange]
    _sum_up(result, record, monitor)
    _sum_up_sales(result, shoppers.ledger)
    return result


async def _strike_all(
    faults: Sequence[Fault],
    context: FaultContext,
    clients: LoadGenerator,
    result: Result,
    profile: Profile,
    ends_at: float,
) -> None:
    for number, fault in enumerate(faults):
        clients.check()
        if time.monotonic() >= ends_at:
            say(f"  the time is up: {len(faults) - number} faults are left out")
            break
        result.recoveries.fault_begins()
        began_at = time.monotonic()
        hit = await fault.strike(context)
        took_seconds = time.monotonic() - began_at
        (result.struck if hit else result.missed)[fault.name] += 1
        if not hit:
            result.recoveries.fault_hit_no_target()
            say(f"  {fault.name}: hit no target")
            continue
        recovery = result.recoveries.fault_ends(fault.group, fault.within_seconds)
        if profile.awaits_recovery:
            await result.recoveries.settled()
            after = "never" if recovery.seconds is None else f"{recovery.seconds:.2f} s"
            say(f"  {fault.name}: took {took_seconds:.1f} s, a new success after {after}")
            not_ready = await context.system.all_ready()
            if recovery.seconds is None:
                say(f"  the rest is left out; not ready: {', '.join(not_ready) or 'none'}")
                for line in await asyncio.to_thread(broker_state, context.system.rabbit):
                    say(f"    {line}")
                return
        await asyncio.sleep(context.rng.uniform(*BETWEEN_FAULTS_SECONDS))
    await result.recoveries.settled()


async def _strike_quietly(
    fault: Fault, context: FaultContext, clients: LoadGenerator, result: Result
) -> None:
    """Inject a fault; if the system does not recover, repair it and report a violation."""
    result.struck[fault.name] += 1
    result.recoveries.fault_begins()
    await fault.strike(context)
    recovery = result.recoveries.fault_ends(fault.group, fault.within_seconds)
    clients.probe()
    if await result.recoveries.settled(2 * fault.within_seconds):
        say(f"  {fault.name}: a new success after {recovery.seconds:.2f} s")
        return
    say(f"  {fault.name}: no recovery; the workers are started again")
    for worker in context.system.workers:
        worker.signal(signal.SIGKILL)
    clients.check()


@asynccontextmanager
async def _said(record: Record, result: Result) -> AsyncIterator[None]:
    """Print the progress every few seconds."""

    async def repeat() -> None:
        while True:
            await asyncio.sleep(SAY_EVERY_SECONDS)
            say(
                f"{time.strftime('%H:%M:%S')} {len(record.entries):,} commands,"
                f" {record.known:,} answered, {sum(result.struck.values())} faults"
            )

    saying = asyncio.create_task(repeat())
    try:
        yield
    finally:
        saying.cancel()


def _sum_up(result: Result, record: Record, monitor: Monitor) -> None:
    result.commands = len(record.entries)
    result.unknown = sum(entry.unknown for entry in record.entries.values())
    result.answers = record.answers
    for entry in record.entries.values():
        if entry.way == "queue" and entry.documents:
            result.answers["reply"] += 1
    result.looks, result.failed_looks = monitor.looks, monitor.failed_looks
    result.slowest_look_seconds = monitor.slowest_look_seconds


def _sum_up_sales(result: Result, ledger: Ledger) -> None:
    result.orders = len(ledger.orders)
    result.orders_paid = sum(ledger.has_bought(id) for id in ledger.orders)
    result.payments = len(ledger.payments)
