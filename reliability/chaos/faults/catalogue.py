"""All faults, by name."""

import asyncio

from reliability.chaos.faults import broker, postgres, processes
from reliability.chaos.faults.scene import Fault, Scene


async def kill_everything(scene: Scene) -> bool:
    """As when the lights go out and on again, but for what only the disk would lose."""
    await asyncio.gather(
        postgres.kill(scene),
        broker.kill(scene),
        processes.kill_all(scene, scene.site.workers + scene.site.gateways),
    )
    return True


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        *processes.FAULTS,
        *postgres.FAULTS,
        *broker.FAULTS,
        *broker.EXTRA,
        Fault("everything-killed", "everything", (), kill_everything, broker.WITHIN_SECONDS),
    )
}
