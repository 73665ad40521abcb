"""Kills workers and gateways at every crash point, freezes them, and stops them."""

import asyncio
import os
import signal
from contextlib import suppress
from functools import partial
from typing import get_args

from reliability.chaos.faults.context import Fault, FaultContext
from reliability.chaos.system.crash_trigger import CrashPoint, GatewayPoint, Point
from reliability.chaos.system.service import Service

PASSING_SECONDS = 3.0
"""How long to wait until a process passes a crash point."""
MAX_PASSING = 4
STOP_SECONDS = 30.0
CUT_SECONDS = 0.2


async def kill(context: FaultContext, services: list[Service]) -> bool:
    service = context.rng.choice(services)
    deaths = len(service.deaths)
    return service.signal(signal.SIGKILL) and await service.died(deaths, PASSING_SECONDS)


async def kill_all(context: FaultContext, services: list[Service]) -> bool:
    return all(await asyncio.gather(*(kill(context, [service]) for service in services)))


async def crash(
    context: FaultContext, services: list[Service], point: Point | GatewayPoint
) -> bool:
    """Kill one of them at a crash point."""
    service = context.rng.choice(services)
    deaths = len(service.deaths)
    crash_point = CrashPoint(point, context.rng.randint(1, MAX_PASSING))
    return service.arm(crash_point) and await service.died(deaths, PASSING_SECONDS)


async def freeze(context: FaultContext) -> bool:
    """Stop a worker that holds locks, for longer than anybody waits for them."""
    worker = await halted(context, "after lock")
    if worker is None:
        return False
    await asyncio.sleep(context.long_pause_seconds)
    worker.signal(signal.SIGCONT)
    return True


async def halted(context: FaultContext, point: Point) -> Service | None:
    """Stop a worker at a crash point; None if it did not pass the point in time."""
    worker = context.rng.choice(context.system.workers)
    if not worker.arm(CrashPoint(point, action="stop")):
        return None
    if await worker.stood_still(PASSING_SECONDS):
        return worker
    worker.arm(CrashPoint(point, passing=1 << 30))  # disarms it
    worker.signal(signal.SIGCONT)
    return None


async def tell_to_stop(context: FaultContext, services: list[Service]) -> bool:
    service = context.rng.choice(services)
    await service.ready()  # one that is still starting has nothing to finish
    deaths = len(service.deaths)
    if not service.signal(signal.SIGTERM):
        return False
    if not await service.died(deaths, STOP_SECONDS):
        context.findings.append(f"{service.name}, told to stop, went on for {STOP_SECONDS} s")
    elif service.deaths[deaths] != 0:
        context.findings.append(
            f"{service.name}, told to stop, ended with {service.deaths[deaths]}"
        )
    return True


async def cut_before_acknowledgement(context: FaultContext) -> bool:
    """Cut a worker's connection to the broker when it has committed and not acknowledged."""
    worker = await halted(context, "before acknowledge")
    if worker is None:
        return False
    context.system.proxies["worker rabbitmq"].cut()
    await asyncio.sleep(CUT_SECONDS)
    worker.signal(signal.SIGCONT)
    return True


def send(pids: list[int], number: signal.Signals) -> None:
    """Signal those of the processes that are still there."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def of_workers(context: FaultContext) -> list[Service]:
    return context.system.workers


ROWS_OF_POINTS: dict[Point, int] = {
    "before lock": 5,
    "after lock": 6,
    "before save": 6,
    "after save": 6,
    "before commit": 6,
    "commit sent": 7,
    "after commit": 8,
    "before reply": 8,
    "after reply": 8,
    "before acknowledge": 8,
    "after acknowledge": 8,
}
ROWS_OF_GATEWAY_POINTS: dict[GatewayPoint, int] = {
    "before publish": 1,
    "published": 2,
    "after confirm": 3,
}


async def _crash_worker(point: Point, context: FaultContext) -> bool:
    return await crash(context, context.system.workers, point)


async def _crash_gateway(point: GatewayPoint, context: FaultContext) -> bool:
    return await crash(context, context.system.gateways, point)


CRASHES = (
    *(
        Fault(f"worker-{point.replace(' ', '-')}", "worker", (row,), partial(_crash_worker, point))
        for point, row in ROWS_OF_POINTS.items()
    ),
    Fault("worker-kill", "worker", (5, 6, 7, 8), lambda s: kill(s, s.system.workers)),
)
FAULTS = (
    *CRASHES,
    *(
        Fault(
            f"gateway-{point.replace(' ', '-')}", "gateway", (row,), partial(_crash_gateway, point)
        )
        for point, row in ROWS_OF_GATEWAY_POINTS.items()
    ),
    Fault("gateway-kill", "gateway", (1, 2, 3), lambda s: kill(s, s.system.gateways)),
    Fault("workers-kill", "all workers", (5, 6, 7, 8), lambda s: kill_all(s, s.system.workers)),
    Fault("worker-freeze", "worker frozen", (10,), freeze),
    Fault("worker-stop", "worker", (11,), lambda s: tell_to_stop(s, s.system.workers)),
    Fault("gateway-stop", "gateway", (), lambda s: tell_to_stop(s, s.system.gateways)),
    Fault("worker-cut-before-ack", "wires", (16,), cut_before_acknowledgement),
)

assert set(ROWS_OF_POINTS) == set(get_args(Point))
