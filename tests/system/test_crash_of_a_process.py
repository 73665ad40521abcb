"""Workers and gateways are killed or stopped under load: no command is lost or applied twice."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from tests.deployment import own_deployment
from tests.system.amqp import Queue
from tests.system.books import Books
from tests.system.clients import Site
from tests.system.traffic import Traffic, audited, open_traffic, recovers


@pytest.fixture(scope="module")
async def lasting_site(http: httpx.AsyncClient, template_url: str) -> AsyncIterator[Site]:
    async with own_deployment(template_url) as deployment:
        await deployment.start(gateways=2, workers=2)
        yield Site(deployment, http)


@pytest.fixture
async def own_site(lasting_site: Site) -> Site:
    """With all processes running, whatever the test before did to them."""
    deployment = lasting_site.deployment
    for process in deployment.workers + deployment.gateways:
        if not process.is_running:
            await process.start()
    return lasting_site


@asynccontextmanager
async def shopping(site: Site) -> AsyncIterator[Traffic]:
    """Traffic while the books are audited; at the end all answers are compared with them."""
    url = site.deployment.database_url
    async with Queue(site.deployment.broker_url) as queue, Books(url) as books:
        traffic = await open_traffic(site, queue)
        async with audited(books), traffic:
            await traffic.progress()
            yield traffic
        await traffic.audit(books)
        await recovers(site)


async def test_killed_workers_lose_no_command_and_apply_none_twice(own_site: Site) -> None:
    async with shopping(own_site) as traffic:
        for worker in own_site.deployment.workers:
            await worker.kill()
            await traffic.progress()  # the other one goes on
            await worker.start()
            await traffic.progress()


async def test_commands_queued_without_a_worker_are_decided_once_one_starts(own_site: Site) -> None:
    async with shopping(own_site) as traffic:
        await asyncio.gather(*(worker.kill() for worker in own_site.deployment.workers))
        alice = await own_site.organizer()
        waiting = [await alice.release(via=via, prefer="wait=0") for via in (0, 1)]
        assert [answer.status_code for answer in waiting] == [202, 202]
        await asyncio.gather(*(worker.start() for worker in own_site.deployment.workers))
        for answer in waiting:
            outcome = await alice.outcome(answer.json()["command_id"])
            assert outcome["status"] == "succeeded"
        await traffic.progress()


async def test_killed_gateways_lose_no_command_and_apply_none_twice(own_site: Site) -> None:
    async with shopping(own_site) as traffic:
        for gateway in own_site.deployment.gateways:
            await gateway.kill()
            await traffic.progress()
            await gateway.start()
            await traffic.progress()
        assert traffic.unknown, "the kills went unnoticed"


async def test_a_worker_stopped_under_load_finishes_its_messages_and_exits_with_0(
    own_site: Site,
) -> None:
    async with shopping(own_site) as traffic:
        for worker in own_site.deployment.workers:
            assert await worker.stop() == 0
            await traffic.progress()
            await worker.start()
            await traffic.progress()
    # No request had to be repeated over HTTP or the queue: a stop loses nothing.
    assert traffic.unknown == 0


async def test_a_gateway_stopped_under_load_finishes_its_requests_and_exits_with_0(
    own_site: Site,
) -> None:
    async with shopping(own_site) as traffic:
        for gateway in own_site.deployment.gateways:
            assert await gateway.stop() == 0
            await traffic.progress()
            await gateway.start()
            await traffic.progress()


async def test_commands_are_decided_after_each_worker_was_frozen(own_site: Site) -> None:
    async with shopping(own_site) as traffic:
        for worker in own_site.deployment.workers:
            worker.signal(signal.SIGSTOP)
            await asyncio.sleep(1)  # long enough for its locks to be in the way
            worker.signal(signal.SIGCONT)
            await traffic.progress()
