"""Keeps one connection to the broker: connects, serves, and connects again when it is lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aio_pika
from aio_pika.abc import AbstractConnection
from yarl import URL

CONNECT_TIMEOUT_SECONDS = 5
RECONNECT_SECONDS = 0.5
HEARTBEAT_SECONDS = 10

_log = logging.getLogger(__name__)


async def keep_connected(
    broker_url: str, name: str, serve: Callable[[AbstractConnection], Awaitable[None]]
) -> None:
    """Call `serve` with each new connection, indefinitely; it returns when its channel is lost.

    These are plain connections and not aio-pika's robust ones, because a publisher must learn at
    once that there is no connection, instead of waiting for one.
    """
    # Without a heartbeat a half-open connection is noticed after minutes.
    url = URL(broker_url).update_query(heartbeat=HEARTBEAT_SECONDS, name=name)
    while True:
        try:
            await _serve_once(url, serve)
            _log.warning("%s: the channel to the broker was closed", name)
        except asyncio.CancelledError:
            if _stopping():
                raise
            _log.warning("%s: the connection to the broker was lost", name)
        except Exception as error:
            # No error may end the loop: the next attempt may succeed.
            _log.warning("%s: no connection to the broker: %r", name, error)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _serve_once(url: URL, serve: Callable[[AbstractConnection], Awaitable[None]]) -> None:
    connection = await aio_pika.connect(url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        await serve(connection)
    finally:
        # A broker that is gone does not answer the close.
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await connection.close()


def _stopping() -> bool:
    """Tell a cancellation of this task from one that aio-pika raises when it loses its socket."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
