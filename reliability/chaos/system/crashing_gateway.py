"""A gateway with crash points in its publish path."""

import asyncio
import os
from typing import Any

from gateway import __main__ as gateway
from gateway.messaging.submit import Publisher
from reliability.chaos.system.crash_trigger import PIPE_VARIABLE, CrashTrigger

SENDING_TURNS = 3


def main() -> None:
    trigger = CrashTrigger()
    wrap(trigger)
    if pipe := os.environ.get(PIPE_VARIABLE):
        trigger.listen(pipe)
    gateway.main()


def wrap(trigger: CrashTrigger) -> None:
    """Put crash points before a publish, between it and its confirm, and before the answer."""
    publish: Any = Publisher._publish

    async def wrapped(publisher: Publisher, load: Any) -> bool:
        trigger.passes("before publish")
        publishing = asyncio.ensure_future(publish(publisher, load))
        if trigger.is_armed_at("published"):
            for _ in range(SENDING_TURNS):
                await asyncio.sleep(0)
            trigger.passes("published")
        confirmed: bool = await publishing
        if confirmed:
            trigger.passes("after confirm")
        return confirmed

    setattr(Publisher, publish.__name__, wrapped)


if __name__ == "__main__":
    main()
