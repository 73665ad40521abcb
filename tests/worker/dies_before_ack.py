"""A worker that is killed between its commit and its acknowledgement."""

import os
import signal

from aio_pika import IncomingMessage

from worker.__main__ import main


async def die(*_: object, **__: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    IncomingMessage.ack = die  # type: ignore[method-assign]
    main()
