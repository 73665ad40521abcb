"""A worker that is killed between its commit and its acknowledgement."""

import os
import signal

from aiormq import Channel

from worker.__main__ import main


async def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    Channel.basic_ack = die
    main()
