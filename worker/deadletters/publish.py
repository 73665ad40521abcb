"""Publishes commands that were not applied to the dead-letter queue, for an operator."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, cast

from aiormq.exceptions import ChannelPreconditionFailed
from faststream.rabbit import RabbitBroker

from shared import topology
from shared.ids import new_id
from worker.messaging.queues import DEAD_EXCHANGE, DEAD_QUEUE, OTHER_DEAD_QUEUE
from worker.telemetry import DEAD_LETTERS

if TYPE_CHECKING:
    from aio_pika.abc import UnderlayConnection
    from pamqp.common import FieldTable

logger = logging.getLogger(__name__)

CONFIRM_TIMEOUT_SECONDS = 5
PAUSE_SECONDS = 1
MAX_ERROR_CHARACTERS = 2_000
"""In a header: the broker closes a connection whose headers exceed one frame, 128 KiB."""


async def publish_dead_letter(
    broker: RabbitBroker, body: bytes, reason: str, error: str, correlation_id: str | None
) -> None:
    """Return once the broker has confirmed the letter. Tries again indefinitely."""
    DEAD_LETTERS.labels(reason).inc()
    logger.warning("a command is dead-lettered (%s): %s", reason, error)
    while True:
        try:
            await broker.publish(
                body,
                DEAD_QUEUE,
                DEAD_EXCHANGE,
                routing_key=topology.DEAD_ROUTING_KEY,
                persist=True,
                mandatory=True,
                timeout=CONFIRM_TIMEOUT_SECONDS,
                content_type="application/json",
                message_id=new_id(),
                correlation_id=correlation_id,
                headers={
                    topology.REASON_HEADER: reason,
                    topology.ERROR_HEADER: error[:MAX_ERROR_CHARACTERS],
                },
            )
        except Exception as fault:
            logger.warning("a dead letter is published again: %s", type(fault).__name__)
            # The queue may have been deleted.
            with contextlib.suppress(Exception):
                async with asyncio.timeout(CONFIRM_TIMEOUT_SECONDS):
                    await declare_dead_letters(broker)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return


async def declare_dead_letters(broker: RabbitBroker) -> None:
    """Declare the dead-letter queue, or keep it if it exists with other arguments."""
    connection = await broker.connect()
    exchange = await broker.declare_exchange(DEAD_EXCHANGE)
    dead_queue = DEAD_QUEUE
    # On its own channel: the broker closes it if the arguments differ.
    channel = await cast("UnderlayConnection", connection.transport).connection.channel()
    try:
        arguments: FieldTable = {**topology.DEAD_ARGUMENTS}
        await channel.queue_declare(topology.DEAD_QUEUE, durable=True, arguments=arguments)
        await channel.close()
    except ChannelPreconditionFailed as difference:
        logger.warning("the dead-letter queue keeps its arguments: %s", difference)
        dead_queue = OTHER_DEAD_QUEUE
    queue = await broker.declare_queue(dead_queue)
    await queue.bind(exchange, DEAD_QUEUE.routing())
