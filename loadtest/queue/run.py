"""A run through the queue, from the first registration to the verdict."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from loadtest.checks.auditors import DatabaseAuditor, WorkerAuditor
from loadtest.checks.balance import Auditor, check_balance
from loadtest.fixtures import Account, set_fixtures_through_queue
from loadtest.options import QueueOptions
from loadtest.progress import Progress
from loadtest.queue.client import QueueClient
from loadtest.queue.load_generator import QueueLoad, SendRate
from loadtest.report.result import Result, summarise
from loadtest.runner import Meter, run


async def run_queue(
    options: QueueOptions,
    progress: Progress,
    meter: Meter | None = None,
    buyers: Sequence[Account] | None = None,
) -> Result:
    """Create the fixtures, send, check the books.

    `buyers` are registered already, as many as the workload says; by default new ones register.
    Raises `PreparationError` or `BrokerError`.
    """
    workload = options.workload
    async with AsyncExitStack() as stack:
        queue_client = await stack.enter_async_context(QueueClient(options.broker_url))
        fixtures = await set_fixtures_through_queue(queue_client, workload, progress, buyers=buyers)
        auditor: Auditor = WorkerAuditor(queue_client, fixtures, workload)
        if options.database_url is not None:
            auditor = DatabaseAuditor(options.database_url, fixtures)
            await auditor.held()  # better now than after the run, where it cannot be reached
        send_rate = SendRate(
            options.commands_per_message, options.messages_in_flight, options.rate_per_second
        )
        load = QueueLoad(workload, fixtures, send_rate, options.warm_up_seconds)
        await load.connect(options.broker_url)
        stack.push_async_callback(load.close)
        effort = await run(load, options.seconds, progress, meter)
        verdict = await check_balance(load.counters, auditor)
    return summarise(
        "through the queue", options.settings(), load.counters, load.timeline, effort, verdict
    )
