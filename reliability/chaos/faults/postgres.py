"""Postgres killed, frozen, cut off, full, and a COMMIT whose answer is lost."""

import asyncio
import os
import re
import signal
import time
from contextlib import suppress
from pathlib import Path

from reliability.chaos.faults import network
from reliability.chaos.faults.context import Fault, FaultContext
from reliability.chaos.faults.processes import halted, send
from worker.audit.snapshot import SNAPSHOT_ERRORS

COMMIT_SECONDS = 3.0
"""How long to wait for the next COMMIT."""
DELAY_SECONDS = 0.05
MAX_COMMITS_LOST = 2
MAX_TERMINATED = 3
FULL_SECONDS = 3.0
"""How long a disk stays full after Postgres has reported it."""
NOTICED_SECONDS = 8.0
"""How long to wait for that report."""
MAX_SEGMENTS, SEGMENT_SECONDS = 8, 1.0
"""Of the write-ahead log: how many may lie ready, and how soon the next is written to."""
NO_SPACE = re.compile("No space left on device")
PANIC = re.compile("PANIC:.*No space left on device")
START_SECONDS = 30.0
FULL_WITHIN_SECONDS = 15.0
HALF_OPEN_WITHIN_SECONDS = 15.0
"""Row 19: a half-open connection is noticed only after a time-out."""
POLL_SECONDS = 0.02
WAYS = ("worker postgres", "gateway postgres")


async def restart(context: FaultContext) -> bool:
    """As `pg_ctl restart -m immediate` does."""
    with suppress(ProcessLookupError):
        os.kill(context.system.postgres.pid, signal.SIGQUIT)
    await asyncio.to_thread(context.system.postgres.restart)
    return True


async def kill(context: FaultContext) -> bool:
    await asyncio.to_thread(context.system.postgres.kill)
    await asyncio.to_thread(context.system.postgres.start)
    return True


async def restart_in_transaction(context: FaultContext) -> bool:
    """Restart it while a worker has saved and not committed."""
    worker = await halted(context, "after save")
    await restart(context)
    if worker is not None:
        worker.signal(signal.SIGCONT)
    return worker is not None


async def restart_at_commit(context: FaultContext) -> bool:
    """Restart it between a COMMIT and its answer."""
    proxy = context.system.proxies["worker postgres"]
    proxy.commit_held.clear()
    proxy.commits_to_hold = 1
    try:
        async with asyncio.timeout(COMMIT_SECONDS):
            await proxy.commit_held.wait()
    except TimeoutError:
        return False
    finally:
        proxy.commits_to_hold = 0
    await restart(context)
    proxy.cut()
    return True


async def lose_commits(context: FaultContext) -> bool:
    """Let COMMITs through and cut their connections before the answers are back."""
    proxy = context.system.proxies["worker postgres"]
    wanted = context.rng.randint(1, MAX_COMMITS_LOST)
    before = proxy.commits_lost
    proxy.commits_to_lose = wanted
    give_up_at = asyncio.get_running_loop().time() + COMMIT_SECONDS
    while proxy.commits_lost < before + wanted:
        if asyncio.get_running_loop().time() > give_up_at:
            break
        await asyncio.sleep(POLL_SECONDS)
    proxy.commits_to_lose = 0
    return proxy.commits_lost > before


async def terminate(context: FaultContext) -> bool:
    return await context.database.terminate(context.rng.randint(1, MAX_TERMINATED)) > 0


async def freeze(context: FaultContext) -> bool:
    pids = context.system.postgres_pids()
    send(pids, signal.SIGSTOP)
    await asyncio.sleep(context.long_pause_seconds)
    send(pids, signal.SIGCONT)
    return True


async def half_close(context: FaultContext) -> bool:
    for way in WAYS:
        context.system.proxies[way].half_close()
    return True


async def delay(context: FaultContext) -> bool:
    proxy = context.system.proxies["worker postgres"]
    proxy.delay_seconds = DELAY_SECONDS
    await asyncio.sleep(network.STALL_SECONDS)
    proxy.delay_seconds = 0
    return True


async def fill_disk(context: FaultContext) -> bool:
    """Leave no room for another page of a table."""
    disk = context.system.disk
    if disk is None:  # only root may mount one
        return False
    log = _Log(context.system.postgres.log)
    disk.fill()
    try:
        hit = await log.says(NO_SPACE, NOTICED_SECONDS)
        await asyncio.sleep(FULL_SECONDS)
    finally:
        disk.empty()
    return hit


async def fill_wal_disk(context: FaultContext) -> bool:
    """Leave no room for another segment of the write-ahead log: a COMMIT finds none, and Postgres
    panics. It restarts without success, or ends; then it is started, as by an operator.
    """
    disk = context.system.wal_disk
    if disk is None:
        return False
    log = _Log(context.system.postgres.log)
    disk.fill()
    try:
        hit = await _wants_a_segment(context, log)
        await asyncio.sleep(FULL_SECONDS)
    finally:
        disk.empty()
    await _start_if_ended(context)
    return hit


async def _wants_a_segment(context: FaultContext, log: "_Log") -> bool:
    """Have the segments used up that there are, until Postgres panics for want of another."""
    for _ in range(MAX_SEGMENTS):
        with suppress(*SNAPSHOT_ERRORS):
            await context.database.switch_wal()
        if await log.says(PANIC, SEGMENT_SECONDS):
            return True
    return False


async def _start_if_ended(context: FaultContext) -> None:
    """Wait until Postgres answers, or see to it."""
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        try:
            await context.database.deadlocks()
        except ConnectionRefusedError:
            await asyncio.to_thread(context.system.postgres.restart)
        except SNAPSHOT_ERRORS:
            await asyncio.sleep(POLL_SECONDS)
        else:
            return


class _Log:
    """What Postgres has written to its log since this was made."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._from = file.stat().st_size

    async def says(self, pattern: re.Pattern[str], within_seconds: float) -> bool:
        """Wait until something is found there."""
        give_up_at = time.monotonic() + within_seconds
        while not pattern.search(self._text()):
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    def _text(self) -> str:
        with self._file.open(errors="replace") as lines:
            lines.seek(self._from)
            return lines.read()


RESTARTS = (
    Fault("postgres-restart", "postgres", (17,), restart),
    Fault("postgres-restart-in-transaction", "postgres", (17,), restart_in_transaction),
    Fault("postgres-restart-at-commit", "postgres", (17,), restart_at_commit),
    Fault("postgres-kill", "postgres", (17,), kill),
)
LOST_COMMIT = Fault("lost-commit", "wires", (7, 17), lose_commits)
FAULTS = (
    *RESTARTS,
    LOST_COMMIT,
    Fault("postgres-terminate", "wires", (18,), terminate),
    Fault("postgres-freeze", "postgres frozen", (19,), freeze),
    Fault(
        "postgres-half-open", "half-open", (19,), network.half_open(WAYS), HALF_OPEN_WITHIN_SECONDS
    ),
    Fault("postgres-half-close", "wires", (19,), half_close),
    Fault("postgres-cut", "wires", (), network.cut(WAYS)),
    Fault("postgres-stall", "wires", (), network.stall(WAYS)),
    Fault("postgres-delay", "wires", (), delay),
    Fault("disk-full", "disk full", (20,), fill_disk),
    Fault("wal-disk-full", "disk full", (20,), fill_wal_disk, FULL_WITHIN_SECONDS),
)
