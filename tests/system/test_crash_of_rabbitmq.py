"""RabbitMQ is killed or frozen and comes back: no command is lost or applied twice."""

import asyncio
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest

from dev.servers.private_rabbitmq import PrivateRabbitMQ
from dev.services import private_rabbitmq
from shared.ids import new_id
from tests.databases import copy_of
from tests.deployment import Deployment, Process
from tests.system.amqp import Queue
from tests.system.books import Books
from tests.system.clients import Site, eventually, is_live, refused, succeeded
from tests.system.freezing import frozen, kill_at_once
from tests.system.private_servers import started_or_skipped
from tests.system.rush import WAITS_SECONDS, Attempt, open_rush
from tests.system.traffic import audited, open_traffic, recovers

REFUSED_WITHIN_SECONDS = 3
"""For a request that arrives while the broker is dead."""
DEAD_SECONDS = 4
UNDER_WAY_SECONDS = 0.5
UNCONFIRMED_WITHIN_SECONDS = 4.5
"""For a request while the broker is frozen: 3 s for the confirm, and a busy machine."""
FROZEN_SECONDS = 9
"""Short enough that many requests are refused before the broker is back."""


@pytest.fixture(scope="module")
async def rabbitmq() -> AsyncIterator[PrivateRabbitMQ]:
    async with started_or_skipped(private_rabbitmq) as node:
        yield node


@pytest.fixture(scope="module")
async def own_site(
    rabbitmq: PrivateRabbitMQ, http: httpx.AsyncClient, template_url: str
) -> AsyncIterator[Site]:
    async with (
        copy_of(template_url) as database_url,
        Deployment(database_url, rabbitmq.url) as deployment,
    ):
        await deployment.start(gateways=2, workers=1)
        yield Site(deployment, http)


async def kill(node: PrivateRabbitMQ) -> None:
    """Kill the node and wait until its port is free: its VM may die a moment after its parent."""
    await asyncio.to_thread(node.kill)
    address = urlsplit(node.url)

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection(address.hostname, address.port)
        except OSError:
            return False
        writer.close()
        return True

    await eventually(answers, lambda answered: not answered, within_seconds=5)


async def test_a_killed_broker_loses_no_accepted_command_and_applies_none_twice(
    own_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    async with Queue(rabbitmq.url) as queue:
        traffic = await open_traffic(own_site, queue)
    rush = await open_rush(own_site)
    async with Books(own_site.deployment.database_url) as books:
        async with audited(books), traffic:
            await traffic.progress()
            async with rush:
                await rush.progress(100)
                # Enough traffic that commands are at every step.
                with frozen(rabbitmq.pid):
                    await asyncio.sleep(UNDER_WAY_SECONDS)
                    await kill(rabbitmq)
            await asyncio.to_thread(rabbitmq.start)
            await recovers(own_site)
            await traffic.progress()
        assert traffic.unknown, "the kill went unnoticed"
        await traffic.audit(books)
        await rush.settle(books)


@pytest.mark.alone
async def test_under_load_a_killed_broker_is_noticed_within_three_seconds(
    own_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    rush = await open_rush(own_site)
    async with rush:
        await rush.progress(100)
        killed_at = kill_at_once(rabbitmq.pid)
        await asyncio.sleep(DEAD_SECONDS)
    await kill(rabbitmq)
    await asyncio.to_thread(rabbitmq.start)
    await recovers(own_site)
    before = [each for each in rush.attempts if each.begun_at <= killed_at < each.answered_at]
    after = [each for each in rush.attempts if each.begun_at > killed_at]

    assert before, "nothing was under way"
    assert max(each.seconds for each in after) <= REFUSED_WITHIN_SECONDS
    assert all(each.is_refused() for each in after)
    for each in before:
        # A confirmed command may await its outcome for as long as its client asked.
        patience_seconds = 0 if each.is_refused() else each.wait_seconds
        assert each.answered_at - killed_at <= REFUSED_WITHIN_SECONDS + patience_seconds
    async with Books(own_site.deployment.database_url) as books:
        await rush.settle(books)


@pytest.mark.alone
async def test_with_a_frozen_broker_a_gateway_answers_503_in_time_and_each_command_is_decided_once(
    own_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    rush = await open_rush(own_site)
    async with rush:
        await rush.progress(100)
        with frozen(rabbitmq.pid) as frozen_at:
            await asyncio.sleep(FROZEN_SECONDS)
            thawed_at = time.monotonic()
        await recovers(own_site, within_seconds=15)
    meanwhile = [
        each
        for each in rush.attempts
        if frozen_at < each.begun_at < thawed_at - UNCONFIRMED_WITHIN_SECONDS
    ]
    assert max(each.seconds for each in meanwhile) <= UNCONFIRMED_WITHIN_SECONDS
    assert all(each.is_refused() for each in meanwhile)
    assert {each.wait_seconds for each in meanwhile} == set(WAITS_SECONDS)

    async with Books(own_site.deployment.database_url) as books:
        await rush.settle(books)
        unknown = [each for each in rush.attempts if each.is_refused()]
        await asyncio.gather(*(decided_once(each) for each in unknown))
        await rush.settle(books)


async def decided_once(attempt: Attempt) -> None:
    """Repeat a command whose outcome is unknown, at both gateways."""
    one, other = await asyncio.gather(*(attempt.again(via) for via in (0, 1)))
    succeeded(one)
    assert one.json() == other.json()


async def test_without_a_broker_a_gateway_answers_503_and_recovers_by_itself(
    own_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    organizer = await own_site.organizer()
    tickets = await organizer.sale(total=4)
    key = new_id()
    before = succeeded(await organizer.reserve(tickets))["cart"]
    await kill(rabbitmq)

    for _ in range(5):
        for via in (0, 1):
            for prefer in ("respond-async", "wait=10", None):
                started = time.monotonic()
                answer = await organizer.reserve(tickets, key=key, via=via, prefer=prefer)
                assert refused(answer, 503, "broker_unavailable") == {"command_id": key}
                assert int(answer.headers["retry-after"]) >= 1
                assert time.monotonic() - started < REFUSED_WITHIN_SECONDS
    # Requests that need no broker are served.
    assert await organizer.cart() == before
    assert (await organizer.poll(key))["status"] == "pending"
    for process in own_site.deployment.gateways:
        assert (await own_site.http.get(f"{process.url}/health/ready")).status_code == 503
        assert (await own_site.http.get(f"{process.url}/health/live")).status_code == 200

    await asyncio.to_thread(rabbitmq.start)
    for process in own_site.deployment.gateways + own_site.deployment.workers:
        await process.ready()  # by itself, without a restart
    await recovers(own_site)
    answers = await asyncio.gather(
        *(organizer.reserve(tickets, key=key, via=via) for via in (0, 1))
    )
    assert succeeded(answers[0]) == succeeded(answers[1])
    # The recovery check has emptied the cart.
    assert await organizer.holds() == {tickets: 1}


async def test_a_gateway_started_before_the_broker_becomes_ready_with_it(
    own_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    organizer = await own_site.organizer()
    gateway, worker = own_site.deployment.gateways[0], own_site.deployment.workers[0]
    await kill(rabbitmq)
    await asyncio.gather(gateway.kill(), worker.kill())
    await asyncio.gather(gateway.launch(), worker.launch())

    await eventually(lambda: is_live(gateway, own_site.http), bool, within_seconds=20)
    assert (await own_site.http.get(f"{gateway.url}/health/ready")).status_code == 503
    refused(await organizer.release(via=0, prefer="wait=5"), 503, "broker_unavailable")
    # A worker may also wait, or end so that it is restarted; it must not exit with 0.
    code = await ended_within(worker, 10)
    assert code != 0

    await asyncio.to_thread(rabbitmq.start)
    if code is not None:
        await worker.start()
    for process in own_site.deployment.gateways + own_site.deployment.workers:
        await process.ready()
    await recovers(own_site)


async def ended_within(process: Process, seconds: float) -> int | None:
    """Return the exit code of a process, or None if it is still running after that time."""
    try:
        async with asyncio.timeout(seconds):
            return await process.ended()
    except TimeoutError:
        return None
