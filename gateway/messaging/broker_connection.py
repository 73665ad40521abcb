"""Keeps one connection to the broker, and reconnects when it is lost."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import aio_pika
from aio_pika.abc import AbstractConnection
from yarl import URL

from shared.topology import HEARTBEAT_SECONDS

CONNECT_TIMEOUT_SECONDS = 5
RECONNECT_SECONDS = 0.5

_log = logging.getLogger(__name__)


async def keep_connected(
    broker_url: str, name: str, serve: Callable[[AbstractConnection], Awaitable[None]]
) -> None:
    """Connect, call `serve`, and reconnect when it returns, until cancelled.

    Connections are plain instead of robust: without a connection a publisher must fail at once
    instead of blocking.
    """
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
            # Log any error and retry: the loop must not end.
            _log.warning("%s: no connection to the broker: %r", name, error)
        await asyncio.sleep(RECONNECT_SECONDS)


async def _serve_once(url: URL, serve: Callable[[AbstractConnection], Awaitable[None]]) -> None:
    connection = await aio_pika.connect(url, timeout=CONNECT_TIMEOUT_SECONDS)
    try:
        await serve(connection)
    finally:
        # A dead broker never confirms the close.
        async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
            await connection.close()


def _stopping() -> bool:
    """Return whether this task is cancelled: aio-pika raises the same when it loses a socket."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
