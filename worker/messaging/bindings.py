"""Keeps the queue of commands bound: unbound, it gets nothing, and gateways answer 503."""

import asyncio
import logging

from faststream.rabbit import RabbitBroker

from worker.messaging.queues import COMMANDS_EXCHANGE, COMMANDS_QUEUE

logger = logging.getLogger(__name__)

INTERVAL_SECONDS = 2.0
TIMEOUT_SECONDS = 5


async def ensure_binding(broker: RabbitBroker) -> None:
    """Bind the queue every `INTERVAL_SECONDS` until cancelled; binding is idempotent."""
    while True:
        await asyncio.sleep(INTERVAL_SECONDS)
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                exchange = await broker.declare_exchange(COMMANDS_EXCHANGE)
                queue = await broker.declare_queue(COMMANDS_QUEUE)
                await queue.bind(exchange, COMMANDS_QUEUE.routing())
        except Exception as error:  # the broker is down; FastStream reconnects
            logger.info("binding the commands queue failed, retrying: %s", type(error).__name__)
