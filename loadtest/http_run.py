"""A run over HTTP, from the first registration to the verdict."""

from contextlib import AsyncExitStack

from loadtest.auditor import DatabaseAuditor, EventPage
from loadtest.books import Auditor, check_books
from loadtest.counter import Counter
from loadtest.http_load import HttpLoad
from loadtest.http_stage import set_stage_over_http
from loadtest.options import HttpOptions
from loadtest.progress import Progress
from loadtest.result import Result, summarise
from loadtest.run import Meter, run


async def run_http(options: HttpOptions, progress: Progress, meter: Meter | None = None) -> Result:
    """Set the stage, send, check the books. Raises `PreparationError` or `BrokerError`."""
    stage, tokens = await set_stage_over_http(options, progress)
    async with AsyncExitStack() as stack:
        auditor: Auditor = EventPage(
            await stack.enter_async_context(Counter(options.urls[0])), stage
        )
        if options.database_url is not None:
            auditor = DatabaseAuditor(options.database_url, stage)
        await auditor.held()  # better now than after the run, where it cannot be asked
        load = HttpLoad(options, stage, tokens)
        stack.callback(load.close)
        await load.connect(progress)
        effort = await run(load, options.seconds, progress, meter)
        verdict = await check_books(load.ledger, auditor)
    way = "reads over HTTP" if options.reads else "over HTTP"
    return summarise(way, options.settings(), load.ledger, load.timeline, effort, verdict)
