"""Serves liveness, readiness and metrics of the worker."""

import asyncio
import json
from typing import Any

from faststream.asgi import AsgiResponse, get
from faststream.rabbit import RabbitBroker
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from worker.messaging.queues import COMMANDS_QUEUE

CHECK_TIMEOUT_SECONDS = 2


def health_routes(engine: AsyncEngine, broker: RabbitBroker) -> list[tuple[str, Any]]:
    """Return the routes `/health/live`, `/health/ready` and `/metrics`."""

    @get(include_in_schema=False)
    async def live(scope: Any) -> AsgiResponse:
        return _json({"status": "live"})

    @get(include_in_schema=False)
    async def ready(scope: Any) -> AsgiResponse:
        postgres, rabbitmq = await asyncio.gather(_postgres(engine), _rabbitmq(broker))
        status = "ready" if postgres and rabbitmq else "not_ready"
        checks = {"status": status, "postgres": postgres, "rabbitmq": rabbitmq}
        return _json(checks, 200 if status == "ready" else 503)

    @get(include_in_schema=False)
    async def metrics(scope: Any) -> AsgiResponse:
        return AsgiResponse(
            generate_latest(), status_code=200, headers={"content-type": CONTENT_TYPE_LATEST}
        )

    return [("/health/live", live), ("/health/ready", ready), ("/metrics", metrics)]


async def _postgres(engine: AsyncEngine) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS), engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception:
        return False
    return True


async def _rabbitmq(broker: RabbitBroker) -> bool:
    """Return whether the queue has a consumer. Asks the broker: the local flag can be wrong."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            queue = await broker.declare_queue(COMMANDS_QUEUE)
            declared = await queue.channel.get_underlay_channel()
            answer = await declared.queue_declare(COMMANDS_QUEUE.name, passive=True)
    except Exception:
        return False
    return bool(answer.consumer_count)


def _json(body: dict[str, Any], status: int = 200) -> AsgiResponse:
    return AsgiResponse(
        json.dumps(body).encode(),
        status_code=status,
        headers={"content-type": "application/json"},
    )
