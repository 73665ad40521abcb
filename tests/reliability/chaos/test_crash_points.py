"""Each crash point ends a real worker, or a real gateway, at the place that it names."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dev.services import Services
from reliability.chaos.system.crash_trigger import CrashPoint, GatewayPoint, Point
from reliability.chaos.system.proxy import Proxy
from reliability.chaos.system.service import Service
from reliability.chaos.system.system_under_test import through
from shared.ids import new_id
from tests.builders import reserve
from tests.databases import services_with_copy_of
from tests.deployment import JWT_SECRET, Deployment
from tests.system.clients import Person, Site, succeeded
from tests.worker.harness import Harness, eventually
from tests.worker.queue_client import QueueClient
from worker.storage.engine import create_engine

BEFORE_THE_COMMIT = ("before lock", "after lock", "before save", "after save", "before commit")
COMMITTED = ("after commit", "before reply", "after reply", "before acknowledge")
UNANSWERED = (*BEFORE_THE_COMMIT, "commit sent", "after commit", "before reply")
ENDS_WITHIN_SECONDS = 20
SETTLES_SECONDS = 0.2


@pytest.fixture(scope="module")
async def own(template_url: str) -> AsyncIterator[Services]:
    async with services_with_copy_of(template_url) as found:
        yield found


@pytest.fixture(scope="module")
async def engine(own: Services) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(own.database_url, 4)
    yield engine
    await engine.dispose()


@pytest.fixture
async def harness(engine: AsyncEngine) -> Harness:
    return Harness(engine)


def service(own: Services, module: str, port_variable: str, home: Path) -> Service:
    environment = dict(os.environ) | {
        "HOLDFAST_DATABASE_URL": own.database_url,
        "HOLDFAST_BROKER_URL": own.broker_url,
        "HOLDFAST_JWT_SECRET": JWT_SECRET,
    }
    return Service(module, module, port_variable, environment, home)


@pytest.fixture(scope="module")
async def worker(own: Services, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Service]:
    """One that is started again whenever it has died: the next finishes what it has left."""
    home = tmp_path_factory.mktemp("worker")
    async with service(
        own, "reliability.chaos.system.crashing_worker", "HOLDFAST_WORKER_PORT", home
    ) as worker:
        yield worker


@pytest.fixture
async def client(own: Services, worker: Service) -> AsyncIterator[QueueClient]:
    await worker.ready()
    async with QueueClient.connected(own.broker_url) as client:
        yield client


async def arm(service: Service, crash_point: CrashPoint) -> None:
    assert service.arm(crash_point)
    await asyncio.sleep(SETTLES_SECONDS)  # until it has been read


@pytest.mark.parametrize("point", get_args(Point))
async def test_a_worker_ends_at_its_point_and_the_next_applies_once(
    point: Point, harness: Harness, worker: Service, client: QueueClient
) -> None:
    """Faults 5 to 8."""
    user, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(user, {tickets: 1})
    deaths = len(worker.deaths)
    await arm(worker, CrashPoint(point))
    correlation_id = await client.publish([command])
    assert await worker.died(deaths, ENDS_WITHIN_SECONDS)
    recorded = await harness.recorded(command)
    heard = {reply.correlation_id for reply in client.replies}
    assert worker.deaths[-1] == -signal.SIGKILL
    if point in BEFORE_THE_COMMIT:
        assert recorded == []
    if point in COMMITTED:
        assert len(recorded) == 1
    if point in UNANSWERED:
        assert correlation_id not in heard

    async def is_done() -> list[str]:
        done = await client.ready_messages() == 0 and await harness.recorded(command)
        return done or []

    (document,) = await eventually(is_done, within_seconds=ENDS_WITHIN_SECONDS)
    assert not recorded or document == recorded[0]
    assert await harness.held(tickets) == await harness.reserved(tickets) == 1


async def test_a_crash_point_kills_at_the_passing_that_it_names(
    harness: Harness, worker: Service, client: QueueClient
) -> None:
    user, tickets, deaths = await harness.user(), await harness.ticket_type(), len(worker.deaths)
    await arm(worker, CrashPoint("after acknowledge", passing=3))
    for _ in range(2):
        await client.ask([reserve(user, {tickets: 1})])
    assert len(worker.deaths) == deaths
    await client.publish([reserve(user, {tickets: 1})])
    assert await worker.died(deaths, ENDS_WITHIN_SECONDS)


async def test_a_crash_point_may_stop_instead_of_kill(
    harness: Harness, worker: Service, client: QueueClient
) -> None:
    """Fault 10: stopped after the lock it holds what everybody wants; let go, it commits."""
    user, tickets, deaths = await harness.user(), await harness.ticket_type(), len(worker.deaths)
    command = reserve(user, {tickets: 1})
    await arm(worker, CrashPoint("after lock", action="stop"))
    correlation_id = await client.publish([command])
    assert await worker.stood_still(ENDS_WITHIN_SECONDS)
    assert await harness.recorded(command) == []
    worker.signal(signal.SIGCONT)
    await client.reply_to(correlation_id)
    assert len(worker.deaths) == deaths


@dataclass
class Counter:
    """A gateway that is to end, a buyer before it, and another gateway to ask afterwards."""

    doomed: Service
    ann: Person
    tickets: str
    to_broker: Proxy
    """Between the gateway that is to end and the broker."""

    async def buy(self, key: str) -> httpx.Response:
        """One ticket, from the gateway that is to end."""
        return await self.ann.http.post(
            f"{self.doomed.url}/v1/reservations",
            json={"items": [{"ticket_type_id": self.tickets, "quantity": 1}]},
            headers={"Authorization": f"Bearer {self.ann.token}", "Idempotency-Key": key},
        )


@pytest.fixture
async def counter(own: Services, worker: Service, tmp_path: Path) -> AsyncIterator[Counter]:
    await worker.ready()
    broker = urlsplit(own.broker_url)
    async with (
        Proxy(broker.hostname, broker.port) as to_broker,
        Deployment(own.database_url, own.broker_url) as deployment,
        service(
            replace(own, broker_url=through(to_broker, own.broker_url)),
            "reliability.chaos.system.crashing_gateway",
            "HOLDFAST_PORT",
            tmp_path,
        ) as doomed,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        await deployment.start(gateways=1, workers=0)
        await doomed.ready()
        ann = await Site(deployment, http).newcomer()
        yield Counter(doomed, ann, await ann.sale(), to_broker)


@pytest.mark.parametrize("point", get_args(GatewayPoint))
async def test_a_gateway_ends_at_its_point_and_the_same_key_gets_one_outcome(
    point: GatewayPoint, counter: Counter, harness: Harness, client: QueueClient
) -> None:
    """Faults 1 to 3."""
    ann, tickets, key = counter.ann, counter.tickets, new_id()
    deaths = len(counter.doomed.deaths)
    await arm(counter.doomed, CrashPoint(point))
    with pytest.raises(httpx.TransportError):
        await counter.buy(key)
    assert await counter.doomed.died(deaths, ENDS_WITHIN_SECONDS)
    if point == "before publish":
        # Behind whatever has come into the queue.
        await client.ask([reserve(await harness.user(), {await harness.ticket_type(): 1})])
        assert (await ann.poll(key))["status"] == "pending"
        recorded = None
    else:
        recorded = (await ann.outcome(key))["result"]
    first = succeeded(await ann.reserve(tickets, key=key))
    assert recorded in (None, first)
    assert succeeded(await ann.reserve(tickets, key=key)) == first
    assert await ann.holds() == {tickets: 1}


async def test_a_gateway_has_published_before_the_broker_confirms_and_not_after(
    counter: Counter,
) -> None:
    """Faults 2 and 3 are two: without a word from the broker only the first point is reached."""
    deaths = len(counter.doomed.deaths)
    counter.to_broker.stall()
    await arm(counter.doomed, CrashPoint("after confirm"))
    assert (await counter.buy(new_id())).status_code == 503
    assert len(counter.doomed.deaths) == deaths
    await arm(counter.doomed, CrashPoint("published"))
    with pytest.raises(httpx.TransportError):
        await counter.buy(new_id())
    assert await counter.doomed.died(deaths, ENDS_WITHIN_SECONDS)
