"""Faults of the connections to one server: cut, stalled, half open."""

import asyncio
from collections.abc import Sequence

from reliability.chaos.faults.context import FaultContext, Inject

CUT_SHARE = 0.5
STALL_SECONDS = 3.0


def cut(ways: Sequence[str]) -> Inject:
    """Reset half of the connections on these ways."""

    async def inject(context: FaultContext) -> bool:
        for way in ways:
            context.system.proxies[way].cut(CUT_SHARE, context.rng)
        return True

    return inject


def stall(ways: Sequence[str]) -> Inject:
    """Hold back all data on one of these ways for `STALL_SECONDS`."""

    async def inject(context: FaultContext) -> bool:
        proxy = context.system.proxies[context.rng.choice(ways)]
        proxy.stall()
        await asyncio.sleep(STALL_SECONDS)
        proxy.flow()
        return True

    return inject


def half_open(ways: Sequence[str]) -> Inject:
    """Let the connections on these ways go dead without telling either end."""

    async def inject(context: FaultContext) -> bool:
        for way in ways:
            context.system.proxies[way].swallow()
        return True

    return inject
