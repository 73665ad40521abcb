"""Postgres killed, frozen, cut off, full, and answering a COMMIT that nobody hears."""

import asyncio
import os
import signal
from contextlib import suppress

from chaos.faults.processes import halted
from chaos.faults.scene import Fault, Scene

COMMIT_SECONDS = 3.0
"""How long to wait for the next COMMIT."""
STALL_SECONDS = 3.0
DELAY_SECONDS = 0.05
CUT_SHARE = 0.5
MAX_COMMITS_LOST = 2
MAX_TERMINATED = 3
FULL_SECONDS = 4.0
HALF_OPEN_WITHIN_SECONDS = 15.0
"""Row 19: what hears nothing has to find that out first."""
LOOK_EVERY_SECONDS = 0.02
WAYS = ("worker postgres", "gateway postgres")


async def restart(scene: Scene) -> bool:
    """As `pg_ctl restart -m immediate` does."""
    with suppress(ProcessLookupError):
        os.kill(scene.site.postgres.pid, signal.SIGQUIT)
    await asyncio.to_thread(scene.site.postgres.restart)
    return True


async def kill(scene: Scene) -> bool:
    await asyncio.to_thread(scene.site.postgres.kill)
    await asyncio.to_thread(scene.site.postgres.start)
    return True


async def restart_in_transaction(scene: Scene) -> bool:
    """Restart it while a worker has saved and not committed."""
    worker = await halted(scene, "after save")
    await restart(scene)
    if worker is not None:
        worker.signal(signal.SIGCONT)
    return worker is not None


async def restart_at_commit(scene: Scene) -> bool:
    """Restart it between a COMMIT and its answer."""
    proxy = scene.site.proxies["worker postgres"]
    proxy.commit_held.clear()
    proxy.commits_to_hold = 1
    try:
        async with asyncio.timeout(COMMIT_SECONDS):
            await proxy.commit_held.wait()
    except TimeoutError:
        return False
    finally:
        proxy.commits_to_hold = 0
    await restart(scene)
    proxy.cut()
    return True


async def lose_commits(scene: Scene) -> bool:
    """Let COMMITs through and cut their connections before the answers are back."""
    proxy = scene.site.proxies["worker postgres"]
    wanted = scene.chance.randint(1, MAX_COMMITS_LOST)
    before = proxy.commits_lost
    proxy.commits_to_lose = wanted
    give_up_at = asyncio.get_running_loop().time() + COMMIT_SECONDS
    while proxy.commits_lost < before + wanted:
        if asyncio.get_running_loop().time() > give_up_at:
            break
        await asyncio.sleep(LOOK_EVERY_SECONDS)
    proxy.commits_to_lose = 0
    return proxy.commits_lost > before


async def terminate(scene: Scene) -> bool:
    return await scene.books.terminate(scene.chance.randint(1, MAX_TERMINATED)) > 0


async def freeze(scene: Scene) -> bool:
    pids = scene.site.postgres_pids()
    _signal(pids, signal.SIGSTOP)
    await asyncio.sleep(scene.long_pause_seconds)
    _signal(pids, signal.SIGCONT)
    return True


async def half_open(scene: Scene) -> bool:
    for way in WAYS:
        scene.site.proxies[way].swallow()
    return True


async def half_close(scene: Scene) -> bool:
    for way in WAYS:
        scene.site.proxies[way].half_close()
    return True


async def cut(scene: Scene) -> bool:
    for way in WAYS:
        scene.site.proxies[way].cut(CUT_SHARE, scene.chance)
    return True


async def stall(scene: Scene) -> bool:
    proxy = scene.site.proxies[scene.chance.choice(WAYS)]
    proxy.stall()
    await asyncio.sleep(STALL_SECONDS)
    proxy.flow()
    return True


async def delay(scene: Scene) -> bool:
    proxy = scene.site.proxies["worker postgres"]
    proxy.delay_seconds = DELAY_SECONDS
    await asyncio.sleep(STALL_SECONDS)
    proxy.delay_seconds = 0
    return True


async def fill_disk(scene: Scene) -> bool:
    disk = scene.site.disk
    if disk is None:  # only root may mount one
        return False
    disk.fill()
    await asyncio.sleep(FULL_SECONDS)
    disk.empty()
    return True


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


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
    Fault("postgres-half-open", "half-open", (19,), half_open, HALF_OPEN_WITHIN_SECONDS),
    Fault("postgres-half-close", "wires", (19,), half_close),
    Fault("postgres-cut", "wires", (), cut),
    Fault("postgres-stall", "wires", (), stall),
    Fault("postgres-delay", "wires", (), delay),
    Fault("disk-full", "disk full", (20,), fill_disk),
)
