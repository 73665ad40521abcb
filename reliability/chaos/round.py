"""One round: open the shop, let buyers buy while things break, wait for silence, and check."""

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
from reliability.chaos.books import Books
from reliability.chaos.clients import USERS, Clients
from reliability.chaos.courier import Courier
from reliability.chaos.faults.scene import Fault, Scene
from reliability.chaos.opening import Mint, open_shop
from reliability.chaos.pace import Pace
from reliability.chaos.record import Record
from reliability.chaos.recovery import Recoveries
from reliability.chaos.settlement import drained, settle
from reliability.chaos.site import Site
from reliability.chaos.watch import Watch

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
    """Faults that met nobody: no worker came by the point."""
    answers: Counter[str] = field(default_factory=Counter)
    recoveries: Recoveries = field(default_factory=Recoveries)
    looks: int = 0
    failed_looks: int = 0
    slowest_look_seconds: float = 0.0
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Ground:
    """What stays from one round to the next."""

    site: Site
    books: Books
    mint: Mint


async def run_round(
    ground: Ground, profile: Profile, faults: Sequence[Fault], commands: int, seed: str
) -> Result:
    """Break what is scheduled while at least so many commands are decided."""
    chance = random.Random(seed)
    result = Result()
    record = Record(result.recoveries.succeeded)
    site, books = ground.site, ground.books
    async with (
        Courier(site.rabbit.url, random.Random(chance.random())) as courier,
        Watch(books) as watch,
    ):
        opening = await open_shop(courier, chance, USERS)
        record.prepared = opening.command_ids
        pause_seconds = profile.long_pause_seconds
        scene = Scene(site, books, courier, record, random.Random(chance.random()), pause_seconds)
        urls = [gateway.url for gateway in site.gateways]
        pace = Pace(profile.commands_per_second)
        async with (
            Clients(opening, urls, ground.mint, courier, books, record, pace, chance) as clients,
            _said(record, result),
        ):
            await asyncio.sleep(BEFORE_THE_FIRST_SECONDS)
            ends_at = time.monotonic() + profile.strike_seconds
            loud = [fault for fault in faults if not fault.quiet]
            await _strike_all(loud, scene, clients, result, profile, ends_at)
            while len(record.entries) < commands:
                clients.check()
                await asyncio.sleep(LOOK_EVERY_SECONDS)
            await clients.close()
            for fault in faults:
                if fault.quiet and time.monotonic() < ends_at:
                    result.violations += await drained(site)
                    await _strike_quietly(fault, scene, clients, result)
                    await clients.rest()
        result.violations += await settle(site, books, record, result.recoveries, opening.shop)
        result.violations += [*watch.findings, *scene.findings, *record.strange]
    _sum_up(result, record, watch)
    return result


async def _strike_all(
    faults: Sequence[Fault],
    scene: Scene,
    clients: Clients,
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
        hit = await fault.strike(scene)
        took_seconds = time.monotonic() - began_at
        (result.struck if hit else result.missed)[fault.name] += 1
        if not hit:
            result.recoveries.fault_met_nobody()
            say(f"  {fault.name}: met nobody")
            continue
        recovery = result.recoveries.fault_ends(fault.group, fault.within_seconds)
        if profile.awaits_recovery:
            await result.recoveries.settled()
            after = "never" if recovery.seconds is None else f"{recovery.seconds:.2f} s"
            say(f"  {fault.name}: took {took_seconds:.1f} s, a new success after {after}")
            await scene.site.all_ready()
        await asyncio.sleep(scene.chance.uniform(*BETWEEN_FAULTS_SECONDS))
    await result.recoveries.settled()


async def _strike_quietly(fault: Fault, scene: Scene, clients: Clients, result: Result) -> None:
    """Strike, and mend by hand what does not mend itself: it is a violation all the same."""
    result.struck[fault.name] += 1
    result.recoveries.fault_begins()
    await fault.strike(scene)
    recovery = result.recoveries.fault_ends(fault.group, fault.within_seconds)
    clients.probe()
    if await result.recoveries.settled(2 * fault.within_seconds):
        say(f"  {fault.name}: a new success after {recovery.seconds:.2f} s")
        return
    say(f"  {fault.name}: no recovery; the workers are started again")
    for worker in scene.site.workers:
        worker.signal(signal.SIGKILL)
    clients.check()


@asynccontextmanager
async def _said(record: Record, result: Result) -> AsyncIterator[None]:
    """Say how it goes, every few seconds."""

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


def _sum_up(result: Result, record: Record, watch: Watch) -> None:
    result.commands = len(record.entries)
    result.unknown = sum(entry.unknown for entry in record.entries.values())
    result.answers = record.answers
    for entry in record.entries.values():
        if entry.way == "queue" and entry.documents:
            result.answers["reply"] += 1
    result.looks, result.failed_looks = watch.looks, watch.failed_looks
    result.slowest_look_seconds = watch.slowest_look_seconds
