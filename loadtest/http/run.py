"""A run over HTTP, from the first registration to the verdict."""

from collections.abc import Sequence
from contextlib import AsyncExitStack

from loadtest.checks.auditors import DatabaseAuditor, EventPageAuditor
from loadtest.checks.balance import Auditor, check_balance
from loadtest.fixtures import Account
from loadtest.http.client import HttpClient
from loadtest.http.fixtures import set_fixtures_over_http
from loadtest.http.load_generator import HttpLoad
from loadtest.options import HttpOptions
from loadtest.progress import Progress
from loadtest.report.result import Result, summarise
from loadtest.runner import Meter, run


async def run_http(
    options: HttpOptions,
    progress: Progress,
    meter: Meter | None = None,
    buyers: Sequence[Account] | None = None,
) -> Result:
    """Create the fixtures, send, check the books.

    `buyers` are registered already, as many as the workload says; their tokens are signed here,
    so the options must have the secret. By default new buyers register.
    Raises `PreparationError` or `BrokerError`.
    """
    fixtures, tokens = await set_fixtures_over_http(options, progress, buyers)
    async with AsyncExitStack() as stack:
        auditor: Auditor = EventPageAuditor(
            await stack.enter_async_context(HttpClient(options.urls[0])), fixtures
        )
        if options.database_url is not None:
            auditor = DatabaseAuditor(options.database_url, fixtures)
        await auditor.held()  # better now than after the run, where it cannot be asked
        load = HttpLoad(options, fixtures, tokens)
        stack.callback(load.close)
        await load.connect(progress)
        effort = await run(load, options.seconds, progress, meter)
        verdict = await check_balance(load.counters, auditor)
    way = "reads over HTTP" if options.reads else "over HTTP"
    return summarise(way, options.settings(), load.counters, load.timeline, effort, verdict)
