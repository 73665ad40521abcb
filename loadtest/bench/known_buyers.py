"""A run through the queue by buyers who have been there before, drawn from all users."""

from contextlib import AsyncExitStack
from dataclasses import replace

import asyncpg

from loadtest.auditor import DatabaseAuditor
from loadtest.books import check_books
from loadtest.desk import Desk, PreparationError
from loadtest.options import QueueOptions
from loadtest.progress import Progress
from loadtest.queue_load import Pace, QueueLoad
from loadtest.result import Result, summarise
from loadtest.run import Meter, run
from loadtest.stage import Account, set_stage_through_queue

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
        desk = await stack.enter_async_context(Desk(options.broker_url))
        stage = await set_stage_through_queue(desk, replace(workload, buyers=0), progress)
        stage = replace(stage, buyers=buyers)
        pace = Pace(options.commands_per_message, options.messages_in_flight)
        load = QueueLoad(workload, stage, pace, options.warm_up_seconds)
        await load.connect(options.broker_url)
        stack.push_async_callback(load.close)
        effort = await run(load, options.seconds, progress, meter)
        verdict = await check_books(load.ledger, DatabaseAuditor(options.database_url, stage))
    settings = options.settings()
    return summarise("by known buyers", settings, load.ledger, load.timeline, effort, verdict)


async def _known(database_url: str, count: int) -> list[Account]:
    connection = await asyncpg.connect(database_url, timeout=CONNECT_SECONDS)
    try:
        return [Account(*row) for row in await connection.fetch(KNOWN, count)]
    finally:
        await connection.close()
