"""A gateway with crash points in its publish path."""

import asyncio
from typing import Any

from gateway import __main__ as gateway
from gateway.messaging.publisher import Publisher
from reliability.chaos.system.crash_trigger import CrashTrigger, run_with_crash_points

SENDING_TURNS = 3


def main() -> None:
    run_with_crash_points(wrap, gateway.main)


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
