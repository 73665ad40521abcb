"""A gateway with crash points in its publish path."""

import asyncio
import os
from typing import Any

from gateway import __main__ as gateway
from gateway.messaging.submit import Publisher
from reliability.chaos.fuse import PIPE_VARIABLE, Fuse

SENDING_TURNS = 3


def main() -> None:
    fuse = Fuse()
    wrap(fuse)
    if pipe := os.environ.get(PIPE_VARIABLE):
        fuse.listen(pipe)
    gateway.main()


def wrap(fuse: Fuse) -> None:
    """Put crash points before a publish, between it and its confirm, and before the answer."""
    publish: Any = Publisher._publish

    async def wrapped(publisher: Publisher, load: Any) -> bool:
        fuse.passes("before publish")
        publishing = asyncio.ensure_future(publish(publisher, load))
        if fuse.is_laid_at("published"):
            for _ in range(SENDING_TURNS):
                await asyncio.sleep(0)
            fuse.passes("published")
        confirmed: bool = await publishing
        if confirmed:
            fuse.passes("after confirm")
        return confirmed

    setattr(Publisher, publish.__name__, wrapped)


if __name__ == "__main__":
    main()
