"""A run through the queue, from the first registration to the verdict."""

from contextlib import AsyncExitStack

from loadtest.auditor import DatabaseAuditor, WorkersWord
from loadtest.books import Auditor, check_books
from loadtest.desk import Desk
from loadtest.options import QueueOptions
from loadtest.progress import Progress
from loadtest.queue_load import Pace, QueueLoad
from loadtest.result import Result, summarise
from loadtest.run import Meter, run
from loadtest.stage import set_stage_through_queue


async def run_queue(
    options: QueueOptions, progress: Progress, meter: Meter | None = None
) -> Result:
    """Set the stage, send, check the books. Raises `PreparationError` or `BrokerError`."""
    workload = options.workload
    async with AsyncExitStack() as stack:
        desk = await stack.enter_async_context(Desk(options.broker_url))
        stage = await set_stage_through_queue(desk, workload, progress)
        auditor: Auditor = WorkersWord(desk, stage, workload)
        if options.database_url is not None:
            auditor = DatabaseAuditor(options.database_url, stage)
            await auditor.held()  # better now than after the run, where it cannot be reached
        pace = Pace(
            options.commands_per_message, options.messages_in_flight, options.rate_per_second
        )
        load = QueueLoad(workload, stage, pace, options.warm_up_seconds)
        await load.connect(options.broker_url)
        stack.push_async_callback(load.close)
        effort = await run(load, options.seconds, progress, meter)
        verdict = await check_books(load.ledger, auditor)
    return summarise(
        "through the queue", options.settings(), load.ledger, load.timeline, effort, verdict
    )
