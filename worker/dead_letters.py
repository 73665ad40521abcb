"""Copies what cannot be applied to the dead letters, where an operator finds it."""

import asyncio
import logging

from faststream.rabbit import RabbitBroker

from shared import topology
from shared.ids import new_id
from worker.queues import DEAD_EXCHANGE, DEAD_QUEUE
from worker.telemetry import DEAD_LETTERS

logger = logging.getLogger(__name__)

CONFIRM_TIMEOUT_SECONDS = 5
PAUSE_SECONDS = 1
MAX_ERROR_CHARACTERS = 2_000
"""Of a header: the broker closes the connection over headers that exceed one frame, 128 KiB."""


async def bury(
    broker: RabbitBroker, body: bytes, reason: str, error: str, correlation_id: str | None
) -> None:
    """Return once the broker has the letter on disk, however often that takes."""
    DEAD_LETTERS.labels(reason).inc()
    logger.warning("a command goes to the dead letters (%s): %s", reason, error)
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
                headers={"x-reason": reason, "x-error": error[:MAX_ERROR_CHARACTERS]},
            )
        except Exception as fault:
            logger.warning("a dead letter is sent again: %s", type(fault).__name__)
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            return
