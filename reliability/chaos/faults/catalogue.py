"""All faults, by name."""

import asyncio

from reliability.chaos.faults import broker, postgres, processes
from reliability.chaos.faults.context import Fault, FaultContext


async def kill_everything(context: FaultContext) -> bool:
    """A power failure, except that the disks lose nothing."""
    await asyncio.gather(
        postgres.kill(context),
        broker.kill(context),
        processes.kill_all(context, context.system.workers + context.system.gateways),
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
