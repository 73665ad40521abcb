"""A run through the queue by buyers who have been there before, drawn from all users."""

from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg

from loadtest.checks.auditors import DatabaseAuditor
from loadtest.checks.balance import check_balance
from loadtest.fixtures import Account, set_fixtures_through_queue
from loadtest.options import QueueOptions
from loadtest.progress import Progress
from loadtest.queue.client import PreparationError, QueueClient
from loadtest.queue.load_generator import QueueLoad, SendRate
from loadtest.report.result import Result, summarise
from loadtest.runner import Meter, run

CONNECT_SECONDS = 10
KNOWN = "SELECT id::text, email FROM booking.users ORDER BY random() LIMIT $1"


async def run_with_known_buyers(
    options: QueueOptions, progress: Progress, meter: Meter | None = None
) -> Result:
    """Put a ticket type on sale, send, check the books; as many buyers as asked for, or all.

    Raises `PreparationError` or `BrokerError`.
    """
    if options.database_url is None:
        raise PreparationError("Only the database knows who has been there before.")
    workload = options.workload
    buyers = await _known(options.database_url, workload.buyers)
    workload = replace(workload, buyers=len(buyers))
    async with AsyncExitStack() as stack:
        queue_client = await stack.enter_async_context(QueueClient(options.broker_url))
        fixtures = await set_fixtures_through_queue(
            queue_client, replace(workload, buyers=0), progress
        )
        fixtures = replace(fixtures, buyers=buyers)
        pace = SendRate(options.commands_per_message, options.messages_in_flight)
        load = QueueLoad(workload, fixtures, pace, options.warm_up_seconds)
        await load.connect(options.broker_url)
        stack.push_async_callback(load.close)
        effort = await run(load, options.seconds, progress, meter)
        verdict = await check_balance(
            load.counters, DatabaseAuditor(options.database_url, fixtures)
        )
    settings = options.settings()
    return summarise("by known buyers", settings, load.counters, load.timeline, effort, verdict)


async def _known(database_url: str, count: int) -> list[Account]:
    connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS)
    try:
        return [Account(*row) for row in await connection.fetch(KNOWN, count)]
    finally:
        await connection.close()
