"""Starts a worker: reads the settings, wires the parts, serves until a signal stops it."""

import asyncio
import functools
import gc
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import FrameType
from typing import cast

import uvicorn
import uvloop
from faststream.asgi import AsgiFastStream
from faststream.rabbit import Channel, RabbitBroker
from sqlalchemy import QueuePool
from yarl import URL

from shared.environment import read_settings
from shared.topology import HEARTBEAT_SECONDS
from worker.committer import MAX_CONCURRENT_BATCHES
from worker.deadletters.publish import declare_dead_letters
from worker.isolation import IsolatedProcess
from worker.messaging.asyncapi import DocumentationPage, QueueDocumentation, static_routes
from worker.messaging.bindings import ensure_binding
from worker.messaging.consumer import Consumer
from worker.messaging.library_patches import tolerate_unreadable_properties
from worker.messaging.replies import ReplySender
from worker.operations.cancelled_events import cancel_orders
from worker.operations.health import health_routes
from worker.operations.partitions import create_committer
from worker.operations.postgres_settings import warn_of_settings
from worker.operations.retention import delete_closed_carts_forever
from worker.operations.sweep import sweep
from worker.poison_messages import PoisonSuspects
from worker.settings import Settings
from worker.storage.engine import create_engine
from worker.telemetry import CONNECTIONS_IN_USE

GC_THRESHOLD = 10_000
"""How many new objects start a collection of cycles. A batch makes thousands. At 50,000 a worker
grew to 290 MB within a million commands; at 10,000 it stays at 106 MB."""

SPARE_CONNECTIONS = 5
"""For the sweep, the cancelled events, the partitions, the retention and the health check, besides
one for each concurrent batch."""


def create_app(settings: Settings) -> AsgiFastStream:
    """Wire a worker. Nothing connects before the app starts."""
    tolerate_unreadable_properties()
    engine = create_engine(settings.database_url, MAX_CONCURRENT_BATCHES + SPARE_CONNECTIONS)
    CONNECTIONS_IN_USE.set_function(cast("QueuePool", engine.pool).checkedout)
    committer, partitions = create_committer(engine, settings.rules)
    isolation = IsolatedProcess()
    broker = RabbitBroker(
        str(URL(settings.broker_url).update_query(heartbeat=HEARTBEAT_SECONDS)),
        timeout=5,
        reconnect_interval=0.5,
        default_channel=Channel(on_return_raises=True),
        apply_types=False,
        logger=None,  # otherwise it logs two lines a message
    )
    replies = ReplySender()
    consumer = Consumer(broker, committer, replies, PoisonSuspects(isolation), settings.accounts)

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        committer.start()
        sending = asyncio.create_task(replies.send(), name="replies")
        sweeping = asyncio.create_task(sweep(engine, committer), name="sweep")
        cancelling = asyncio.create_task(cancel_orders(engine, committer), name="cancelled events")
        keeping = asyncio.create_task(partitions.run(), name="partitions")
        deleting = asyncio.create_task(
            delete_closed_carts_forever(engine, settings.retention), name="retention"
        )
        checking = asyncio.create_task(warn_of_settings(engine), name="Postgres's settings")
        binding = asyncio.create_task(ensure_binding(broker), name="bindings")
        # Objects made at the start live as long as the process: collections may skip them.
        gc.collect()
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)
        yield
        binding.cancel()
        checking.cancel()
        deleting.cancel()
        keeping.cancel()
        cancelling.cancel()
        sweeping.cancel()
        sending.cancel()
        await isolation.stop()
        await committer.stop()
        await engine.dispose()

    return AsgiFastStream(
        broker,
        logger=logging.getLogger("worker"),
        asgi_routes=[*health_routes(engine, broker), *static_routes()],
        asyncapi_path=DocumentationPage(),
        specification=QueueDocumentation(),
        lifespan=lifespan,
        on_startup=[functools.partial(declare_dead_letters, broker)],
        on_shutdown=[consumer.drain],
    )


class Server(uvicorn.Server):
    """Exits with code 0: uvicorn would raise the signal again after it has shut down."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.should_exit = True


def main() -> None:
    settings = read_settings(Settings)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    # At debug level it logs whole messages, with e-mail addresses.
    logging.getLogger("aiormq").setLevel(logging.INFO)
    config = uvicorn.Config(
        create_app(settings),
        host=settings.worker_host,
        port=settings.worker_port,
        log_level="warning",
        access_log=False,
    )
    uvloop.run(Server(config).serve())


if __name__ == "__main__":
    main()
