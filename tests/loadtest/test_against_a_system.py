"""Both ways of load against a real system: everything is answered, and the books balance."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from loadtest.bench.cases.hot_row import measure_hot_row
from loadtest.bench.cases.new_buyers import check_each_came_once, register_new_buyers
from loadtest.fixtures import UNIT_PRICE
from loadtest.http.run import run_http
from loadtest.options import HttpOptions, Mode, QueueOptions
from loadtest.progress import Progress
from loadtest.queue.amqp import BrokerError
from loadtest.queue.client import PreparationError
from loadtest.queue.run import run_queue
from loadtest.report.result import Result
from loadtest.workload import Workload
from tests.deployment import JWT_SECRET, Deployment

SECONDS = 1.5
TICKETS = 20
QUIET = Progress(quiet=True)
SOME_OF_ALL = Workload(buyers=20, ticket_types=3, skew=1.0, lines=2, repeats=0.2, tickets=TICKETS)
"""Sells out, repeats, and prefers some ticket types."""


def queue_options(system: Deployment) -> QueueOptions:
    return QueueOptions(
        SOME_OF_ALL,
        system.broker_url,
        database_url=system.database_url,
        commands_per_message=7,
        messages_in_flight=10,
        seconds=SECONDS,
    )


def http_options(system: Deployment) -> HttpOptions:
    return HttpOptions(
        SOME_OF_ALL,
        tuple(gateway.url for gateway in system.gateways),
        broker_url=system.broker_url,
        database_url=system.database_url,
        jwt_secret=JWT_SECRET,
        poll_seconds=0.02,
        seconds=SECONDS,
    )


def shows_all_of_it(result: Result) -> None:
    assert result.books is not None
    assert result.books.findings == []
    assert result.answered == result.asked > 0
    assert 0 < result.succeeded <= TICKETS * 3 / 2
    assert result.repeats > 0
    assert result.refusals.keys() == {"insufficient_availability"}
    assert result.rate > 0


async def test_through_the_queue(system: Deployment) -> None:
    shows_all_of_it(await run_queue(queue_options(system), QUIET))


async def test_through_the_queue_without_the_database(system: Deployment) -> None:
    result = await run_queue(replace(queue_options(system), database_url=None), QUIET)
    shows_all_of_it(result)


@pytest.mark.parametrize("mode", ["await", "poll"])
async def test_over_http(system: Deployment, mode: Mode) -> None:
    result = await run_http(replace(http_options(system), mode=mode), QUIET)
    shows_all_of_it(result)
    assert (result.accepted_ms is not None) == (mode == "poll")


async def test_over_http_alone_on_a_schedule(system: Deployment) -> None:
    """With nothing but a URL: buyers register and log in, the event's page tells what is held."""
    options = replace(
        http_options(system),
        workload=Workload(buyers=3),
        broker_url=None,
        database_url=None,
        jwt_secret=None,
        rate_per_second=20,
    )
    result = await run_http(options, QUIET)
    assert result.books is not None
    assert result.books.balanced
    assert result.asked == pytest.approx(20 * SECONDS, abs=2)


PURCHASES = Workload(
    buyers=20, ticket_types=2, lines=2, max_quantity=3, repeats=0.2, check_out=0.7, pay=0.7
)


@pytest.mark.parametrize("with_database", [True, False])
@pytest.mark.parametrize("way", ["http", "queue"])
async def test_buyers_check_out_and_pay(system: Deployment, way: str, with_database: bool) -> None:
    if way == "http":
        http = replace(http_options(system), workload=PURCHASES)
        result = await run_http(http if with_database else replace(http, database_url=None), QUIET)
    else:
        queue = replace(queue_options(system), workload=PURCHASES)
        result = await run_queue(
            queue if with_database else replace(queue, database_url=None), QUIET
        )
    assert result.books is not None
    assert result.books.findings == []
    assert bool(result.books.notes) != with_database
    assert result.answered == result.asked > 0
    sales = result.sales
    assert sales.orders >= sales.paid_orders == sales.payments > 0
    assert sales.ordered_amount >= sales.accepted_amount == sales.paid_amount > 0
    assert sales.sold.total() * UNIT_PRICE == sales.paid_amount


SALE = Workload(buyers=10_000, ticket_types=6, events=2, skew=1.0, max_quantity=4)
COMMANDS_A_USER = """
    SELECT count(*) FROM booking.outcomes
    WHERE user_id = ANY ($1::uuid[]) GROUP BY user_id
"""


@pytest.mark.parametrize("way", ["http", "queue"])
async def test_in_a_real_sale_each_buyer_comes_once(system: Deployment, way: str) -> None:
    buyers = await register_new_buyers(system.database_url, SALE.buyers)
    if way == "http":
        options = replace(http_options(system), workload=SALE, connections=5)
        result = await run_http(options, QUIET, buyers=buyers)
    else:
        queue = replace(queue_options(system), workload=SALE, messages_in_flight=2)
        result = await run_queue(queue, QUIET, buyers=buyers)
    assert check_each_came_once(result, SALE.buyers).passed
    assert result.succeeded == result.asked
    async with a_connection(system.database_url) as connection:
        rows = await connection.fetch(COMMANDS_A_USER, [buyer.user_id for buyer in buyers])
    assert [row[0] for row in rows] == [1] * result.asked


async def test_buyers_who_came_twice_are_no_real_sale(system: Deployment) -> None:
    buyers = await register_new_buyers(system.database_url, 2)
    options = replace(http_options(system), workload=Workload(buyers=2), connections=1)
    result = await run_http(options, QUIET, buyers=buyers)
    with pytest.raises(PreparationError, match="some came twice"):
        check_each_came_once(result, 2)


async def test_reads(system: Deployment) -> None:
    result = await run_http(replace(http_options(system), reads=True), QUIET)
    assert result.passed
    assert result.answered == result.asked > 0


async def test_books_that_were_falsified_end_with_exit_code_1(
    system: Deployment, tmp_path: Path
) -> None:
    """Somebody takes a ticket behind the tool's back, while it runs."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtest", "queue", "--broker-url", system.broker_url),
        *("--database-url", system.database_url, "--seconds", "3", "--buyers", "5"),
        *("--rate", "50", "--commands-per-message", "1", "--report", str(tmp_path)),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    async with asyncio.timeout(60), a_connection(system.database_url) as connection:
        while b"backlog" not in await process.stdout.readline():
            assert not process.stdout.at_eof()
        (ticket_type_id,) = await connection.fetchrow(NEWEST)
        await connection.execute(CHANGE, ticket_type_id, +1)
        try:
            rest = (await process.communicate())[0].decode()
        finally:
            await connection.execute(CHANGE, ticket_type_id, -1)
    assert process.returncode == 1
    assert "THE BOOKS DO NOT BALANCE" in rest
    assert "The books do not balance" in (tmp_path / "report.html").read_text()


async def test_a_missing_broker_is_said_in_a_sentence() -> None:
    """Nothing listens on port 1."""
    options = QueueOptions(SOME_OF_ALL, "amqp://guest:guest@127.0.0.1:1/", seconds=SECONDS)
    with pytest.raises(BrokerError, match=r"^No broker at 127\.0\.0\.1:1: .+\.$"):
        await run_queue(options, QUIET)


async def test_a_missing_gateway_is_said_in_a_sentence() -> None:
    options = HttpOptions(SOME_OF_ALL, ("http://127.0.0.1:1",), seconds=SECONDS)
    with pytest.raises(PreparationError, match=r"^No gateway at http://127\.0\.0\.1:1: .+\.$"):
        await run_http(options, QUIET)


NEWEST = "SELECT id FROM booking.ticket_types ORDER BY id DESC LIMIT 1"
CHANGE = "UPDATE booking.ticket_types SET reserved = reserved + $2 WHERE id = $1"


@asynccontextmanager
async def a_connection(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        yield connection
    finally:
        await connection.close()


async def test_the_hot_row_is_measured(system: Deployment) -> None:
    assert (await measure_hot_row(system.database_url, 1)).rate > 0
