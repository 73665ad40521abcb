"""Measures check-outs, payments, whole sales over HTTP, and the cancelling of a sold event."""

import asyncio
import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from statistics import mean

import asyncpg
import uvloop

from loadtest.bench.cases.catalogue import BUYERS_200, HOT_ROW, QUEUE_100, Case
from loadtest.bench.cases.measure import measure
from loadtest.bench.cases.new_buyers import register_new_buyers
from loadtest.bench.orders.paid_orders import fill_paid_orders
from loadtest.bench.orders.sale import Sale, sell
from loadtest.bench.system.deployment import Deployment
from loadtest.options import QueueOptions
from loadtest.progress import Progress, say
from loadtest.queue.client import QueueClient
from loadtest.queue.run import run_queue
from loadtest.report.result import Result
from shared.commands import CancelEvent
from shared.ids import new_id

HTTP_SALES = Case(
    "HTTP awaited, whole sales of 200 buyers", "o", "http", replace(BUYERS_200, check_out=1, pay=1)
)
COMMANDS_PER_SALE = 3
OTHER_BUYERS = 4_000
"""Of another event, while one is cancelled."""
MEANWHILE = 4
"""For so many times as long as before the cancelling, buyers of the other event go on."""
PATIENCE_SECONDS = 180.0
LOOK_EVERY_SECONDS = 0.2
QUIET = Progress(quiet=True)
LEFT = """
    SELECT EXISTS (
        SELECT FROM booking.orders
        WHERE event_id = $1 AND status IN ('pending_payment', 'paid')
    )
"""


@dataclass(frozen=True, slots=True)
class OrderRates:
    """Commands a second, and the same in rates of the hot row measured around them."""

    check_outs: float
    payments: float
    http_sales: float
    """Whole sales: a reservation, a check-out and a payment each."""
    hot_row: float
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancelling:
    """The cancelling of an event with paid orders, while buyers of another event come."""

    orders: int
    seconds: float
    """From the command to the last order."""
    rate_before: float
    rate_meanwhile: float
    worst_p99_ms: float
    """Of one second."""
    findings: tuple[str, ...]


def measure_rates(deployment: Deployment, orders: int, seconds: float) -> tuple[OrderRates, Sale]:
    """Return the rates, and the sale through the queue. Raises `PreparationError`."""
    before = measure(HOT_ROW, deployment, seconds)
    deployment.serve(1, 1)
    sale = uvloop.run(sell(deployment.broker_url, deployment.database_url, orders))
    http = measure(HTTP_SALES, deployment, seconds)
    after = measure(HOT_ROW, deployment, seconds)
    rates = OrderRates(
        sale.check_outs_per_second,
        sale.payments_per_second,
        http.rate / COMMANDS_PER_SALE,
        mean(each.rate for each in (before, after)),
        http.findings,
    )
    say(
        f"check-outs {rates.check_outs:,.0f}/s, payments {rates.payments:,.0f}/s,"
        f" sales over HTTP {rates.http_sales:,.0f}/s, hot row {rates.hot_row:,.0f}/s"
    )
    return rates, sale


def measure_full_rates(
    deployment: Deployment, paid: int, orders: int, seconds: float
) -> OrderRates:
    """Measure the same with so many paid orders in the tables."""
    say(f"filling {paid:,} paid orders")
    uvloop.run(fill_paid_orders(deployment.database_url, paid))
    return measure_rates(deployment, orders, seconds)[0]


def measure_cancelling(deployment: Deployment, sale: Sale, before_seconds: float) -> Cancelling:
    """Cancel the event of a sale while buyers of another one come as fast as they can."""
    deployment.serve(1, 1)
    watch = _Watch(deployment, sale, before_seconds)
    options = QueueOptions(
        replace(QUEUE_100.workload, buyers=OTHER_BUYERS),
        deployment.broker_url,
        database_url=deployment.database_url,
        seconds=before_seconds * (1 + MEANWHILE),
    )
    result, seconds = uvloop.run(_cancel_under_load(options, watch, deployment))
    first = int(before_seconds)
    before = result.timeline[first // 2 : first]  # the first half warms up
    meanwhile = result.timeline[first : first + math.ceil(seconds)]
    cancelling = Cancelling(
        len(sale.fixtures.buyers),
        seconds,
        mean(row.rate for row in before),
        mean(row.rate for row in meanwhile),
        max(row.p99_ms or 0.0 for row in meanwhile),
        tuple(result.books.findings) if result.books else (),
    )
    say(f"cancelling took {seconds:.1f} s: {[round(row.rate) for row in result.timeline]}")
    return cancelling


async def _cancel_under_load(
    options: QueueOptions, watch: "_Watch", deployment: Deployment
) -> tuple[Result, float]:
    buyers = await register_new_buyers(deployment.database_url, OTHER_BUYERS)
    result = await run_queue(options, QUIET, watch, buyers)
    return result, await watch.done()


class _Watch:
    """Cancels the event some seconds after the load began, and notes when no order is left."""

    def __init__(self, deployment: Deployment, sale: Sale, before_seconds: float) -> None:
        self._deployment = deployment
        self._before_seconds = before_seconds
        self._fixtures = sale.fixtures
        self._task: asyncio.Task[float]

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._cancel())

    def stop(self) -> None:
        """Go on: orders may be left when the load ends."""

    async def done(self) -> float:
        return await self._task

    async def _cancel(self) -> float:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(self._before_seconds)
        command = CancelEvent(
            command_id=new_id(),
            user_id=self._fixtures.organizer.user_id,
            submitted_at=datetime.now(UTC),
            event_id=self._fixtures.event_id,
        )
        connection = await asyncpg.connect(self._deployment.database_url)
        try:
            async with QueueClient(self._deployment.broker_url) as queue_client:
                started = loop.time()
                await queue_client.apply([command])
            async with asyncio.timeout(PATIENCE_SECONDS):
                # Postgres does not announce that an order is cancelled, so it is asked.
                while await connection.fetchval(LEFT, self._fixtures.event_id):  # noqa: ASYNC110 - see above
                    await asyncio.sleep(LOOK_EVERY_SECONDS)
            return loop.time() - started
        finally:
            await connection.close()
