"""Postgres is killed or frozen and comes back: commands wait for it and are decided once."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace

import httpx
import pytest

from dev.servers.private_postgres import PrivatePostgres
from dev.services import private_postgres, services
from shared.ids import new_id
from tests.conftest import migrate
from tests.deployment import Deployment
from tests.system.amqp import Queue, reservation
from tests.system.books import Books
from tests.system.clients import Site, eventually, refused, succeeded
from tests.system.freezing import frozen
from tests.system.private_servers import started_or_skipped
from tests.system.rush import WAITS_SECONDS, open_rush
from tests.system.traffic import open_traffic, recovers

FROZEN_SECONDS = 20
BACK_WITHIN_SECONDS = 15
READERS_OF_A_ROUTE = 2
"""At each gateway: over all routes more than its pool has connections."""
AT_ONCE = 30
MARGIN_SECONDS = 2
"""For a busy machine."""
READ_SECONDS = 8
"""6 s without an answer, and 2 s to close the connection."""
SHARED_READ_SECONDS = 2 * READ_SECONDS
"""A request that finds an equal one in progress waits for the end of that one first."""
PAGE_SECONDS = 3 * READ_SECONDS
"""A page that is asked for as it was before is asked for again where it could not be had."""
READY_SECONDS = 2 + 2
LOOK_AGAIN_SECONDS = 0.05


@pytest.fixture(scope="module")
async def postgres() -> AsyncIterator[PrivatePostgres]:
    async with started_or_skipped(private_postgres) as server:
        yield server


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


async def test_a_killed_postgres_loses_no_command_and_applies_none_twice(
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
    """Return how often the workers have retried a batch."""
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
            await person.cart(via=via)  # from now on the gateway has the user in its cache
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


@dataclass(frozen=True)
class Route:
    """A route that reads: how long it may take, and its answers without and with Postgres."""

    path: str
    ask: Callable[[int], Awaitable[httpx.Response]]
    """Takes the number of a gateway."""
    seconds: float = READ_SECONDS
    refusal: str | None = "database_unavailable"
    status: int = 200


@dataclass(frozen=True)
class Look:
    route: Route
    begun_at: float
    answered_at: float
    answer: httpx.Response


async def test_a_frozen_postgres_is_waited_for_with_a_bound_and_blocks_nothing_afterwards(
    own_site: Site, own_queue: Queue, postgres: PrivatePostgres
) -> None:
    rush = await open_rush(own_site, clients=6)
    routes = await routes_that_read(own_site, own_queue)
    over = asyncio.Event()
    async with rush:
        await rush.progress(20)
        await full_pools(routes[0])
        with frozen(postgres.pid) as frozen_at:
            looking = asyncio.create_task(look_until(over, routes))
            await asyncio.sleep(FROZEN_SECONDS)
            thawed_at = time.monotonic()
        over.set()
        await asyncio.gather(
            recovers(own_site, within_seconds=BACK_WITHIN_SECONDS),
            *(answers_again(route, via) for route in routes for via in (0, 1)),
        )
        looks = await looking
    await full_pools(routes[0])

    for look in looks:
        assert look.answered_at - look.begun_at <= look.route.seconds + MARGIN_SECONDS, look
        if look.route.refusal and look.answered_at < thawed_at:
            refused(look.answer, 503, look.route.refusal)
    meanwhile = [each for each in rush.attempts if frozen_at < each.begun_at < thawed_at]
    assert {each.wait_seconds for each in meanwhile} == set(WAITS_SECONDS)
    for attempt in meanwhile:
        assert not attempt.is_refused()
        assert attempt.seconds <= attempt.wait_seconds + MARGIN_SECONDS
    async with Books(postgres.url) as books:
        await rush.settle(books)
        await books.balance()


async def routes_that_read(site: Site, queue: Queue) -> list[Route]:
    organizer, alice = await site.organizer(), await site.person(queue)
    event = await organizer.event()
    tickets = (await organizer.ticket_type(event["id"]))["id"]
    command_id = (await alice.reserve(tickets)).json()["command_id"]

    def read(path: str, seconds: float = READ_SECONDS) -> Route:
        return Route(path, lambda via: alice.get(path, via=via), seconds)

    async def newly_come(via: int) -> httpx.Response:
        # A token that no gateway has seen: its user is looked up.
        token = await site.token_for(alice.id, jti=new_id())
        return await replace(alice, token=token).get("/cart", via=via)

    async def log_in(via: int) -> httpx.Response:
        form = {"username": alice.email, "password": "a wrong password"}
        return await site.http.post(f"{site.urls[via]}/v1/tokens", data=form)

    def health(which: str, seconds: float, refusal: str | None) -> Route:
        path = f"/health/{which}"
        return Route(path, lambda via: site.http.get(site.urls[via] + path), seconds, refusal)

    return [
        read("/cart"),
        read("/me"),
        read(f"/commands/{command_id}"),
        read("/events", SHARED_READ_SECONDS),
        read(f"/events/{event['id']}", PAGE_SECONDS),
        Route("/cart, newly come", newly_come, SHARED_READ_SECONDS),
        Route("/tokens", log_in, status=401),
        health("ready", READY_SECONDS, "not_ready"),
        health("live", 0, None),
    ]


async def look_until(over: asyncio.Event, routes: list[Route]) -> list[Look]:
    """Readers of each route at both gateways, each in a loop."""
    looks: list[Look] = []

    async def look(route: Route, via: int) -> None:
        while not over.is_set():
            begun_at = time.monotonic()
            answer = await route.ask(via)
            looks.append(Look(route, begun_at, time.monotonic(), answer))
            await asyncio.sleep(LOOK_AGAIN_SECONDS)

    ways = [(route, via) for route in routes for via in (0, 1)]
    await asyncio.gather(*(look(*way) for way in ways * READERS_OF_A_ROUTE))
    return looks


async def full_pools(route: Route) -> None:
    """Send so many requests at once that each gateway uses all connections of its pool."""
    for via in (0, 1):
        answers = await asyncio.gather(*(route.ask(via) for _ in range(AT_ONCE)))
        assert {answer.status_code for answer in answers} == {route.status}


async def answers_again(route: Route, via: int) -> None:
    async def status() -> int:
        return (await route.ask(via)).status_code

    await eventually(status, lambda status: status == route.status, BACK_WITHIN_SECONDS)


async def test_a_worker_started_before_postgres_works_once_it_is_up(
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
