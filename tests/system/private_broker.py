"""Kills a private RabbitMQ node."""

import asyncio
from urllib.parse import urlsplit

from dev.servers.private_rabbitmq import PrivateRabbitMQ
from tests.system.clients import eventually

REFUSED_WITHIN_SECONDS = 3
"""For a request that arrives while the broker is dead."""


async def kill(node: PrivateRabbitMQ) -> None:
    """Kill the node and wait until its port is free: its VM may die a moment after its parent."""
    await asyncio.to_thread(node.kill)
    address = urlsplit(node.url)

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(answers, lambda answered: not answered, within_seconds=5)
