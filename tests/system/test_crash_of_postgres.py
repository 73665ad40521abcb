"""Postgres killed and started again on the same data: commands wait for it and are decided once."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from dev.private_postgres import PrivatePostgres
from dev.search import Unavailable
from dev.services import private_postgres, services
from tests.conftest import migrate
from tests.deployment import Deployment
from tests.system.amqp import Queue, reservation
from tests.system.books import Books
from tests.system.clients import Site, refused, succeeded
from tests.system.traffic import open_traffic, recovers


@pytest.fixture(scope="module")
async def postgres() -> AsyncIterator[PrivatePostgres]:
    try:
        context = private_postgres()
        server = await asyncio.to_thread(context.__enter__)
    except Unavailable as reason:
        pytest.skip(str(reason))
    yield server
    await asyncio.to_thread(context.__exit__, None, None, None)


@pytest.fixture(scope="module")
async def own_site(postgres: PrivatePostgres, http: httpx.AsyncClient) -> AsyncIterator[Site]:
    migrate(postgres.url)
    with services("tests") as own:
        async with Deployment(postgres.url, own.broker_url) as deployment:
            await deployment.start(gateways=2, workers=1)
            yield Site(deployment, http)


@pytest.fixture
async def own_queue(own_site: Site) -> AsyncIterator[Queue]:
    async with Queue(own_site.deployment.broker_url) as connected:
        yield connected


async def test_a_killed_postgres_loses_nothing_and_doubles_nothing(
    own_site: Site, own_queue: Queue, postgres: PrivatePostgres
) -> None:
    traffic = await open_traffic(own_site, own_queue)
    async with traffic:
        await traffic.progress()
        for _ in range(3):
            await asyncio.to_thread(postgres.kill)
            await asyncio.to_thread(postgres.start)
            await recovers(own_site)
            await traffic.progress()
    assert await retries(own_site), "the kills went unnoticed"
    async with Books(postgres.url) as books:
        await traffic.audit(books)


async def retries(site: Site) -> float:
    """How often the workers have tried a batch again."""
    total = 0.0
    for worker in site.deployment.workers:
        for line in (await site.http.get(f"{worker.url}/metrics")).text.splitlines():
            if line.startswith("holdfast_batch_retries_total "):
                total += float(line.split()[1])
    return total


async def test_without_postgres_commands_are_accepted_and_decided_once_it_is_back(
    own_site: Site, own_queue: Queue, postgres: PrivatePostgres
) -> None:
    organizer = await own_site.organizer()
    tickets = await organizer.sale(total=5)
    alice, bob = await own_site.people(2, own_queue)
    for person in (alice, bob):
        for via in (0, 1):
            await person.cart(via=via)  # the gateway knows them from now on
    await asyncio.to_thread(postgres.kill)

    accepted = [await alice.reserve(tickets, via=via, prefer="respond-async") for via in (0, 1)]
    accepted.append(await bob.reserve(tickets, 2, prefer="wait=1"))
    over_the_queue = asyncio.create_task(own_queue.decide_one(reservation(alice.id, tickets)))
    assert [answer.status_code for answer in accepted] == [202, 202, 202]
    for path in ("/cart", "/events", "/me", f"/commands/{accepted[0].json()['command_id']}"):
        answer = await alice.get(path)
        refused(answer, 503, "database_unavailable")
        assert int(answer.headers["retry-after"]) >= 1
    for process in own_site.deployment.gateways + own_site.deployment.workers:
        assert (await own_site.http.get(f"{process.url}/health/ready")).status_code == 503
        assert (await own_site.http.get(f"{process.url}/health/live")).status_code == 200

    await asyncio.to_thread(postgres.start)
    await recovers(own_site)
    by_alice = [await alice.outcome(answer.json()["command_id"]) for answer in accepted[:2]]
    by_bob = await bob.outcome(accepted[2].json()["command_id"])
    last = await over_the_queue
    statuses = [outcome["status"] for outcome in (*by_alice, by_bob, last)]
    assert statuses == ["succeeded"] * 4
    assert await alice.holds() == {tickets: 3}
    assert await bob.holds() == {tickets: 2}
    for process in own_site.deployment.gateways + own_site.deployment.workers:
        await process.ready()
    async with Books(postgres.url) as books:
        await books.balance()


async def test_a_worker_started_without_postgres_works_once_it_comes(
    own_site: Site, own_queue: Queue, postgres: PrivatePostgres
) -> None:
    alice = await own_site.person(own_queue)
    tickets = await (await own_site.organizer()).sale()
    await alice.cart()
    for worker in own_site.deployment.workers:
        await worker.kill()
    await asyncio.to_thread(postgres.kill)
    for worker in own_site.deployment.workers:
        await worker.launch()
    answer = await alice.reserve(tickets, prefer="wait=1")
    assert answer.status_code == 202
    await asyncio.to_thread(postgres.start)
    for worker in own_site.deployment.workers:
        await worker.ready()
    await recovers(own_site)
    assert (await alice.outcome(answer.json()["command_id"]))["status"] == "succeeded"
    succeeded(await alice.release())
