"""Each crash point ends a real worker, or a real gateway, at the place that it names."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import get_args

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from chaos.fuse import Charge, GatewayPoint, Point
from chaos.service import Service
from dev.services import Services, services
from shared.ids import new_id
from tests.builders import reserve
from tests.conftest import migrate
from tests.deployment import JWT_SECRET, Deployment
from tests.system.clients import Site, succeeded
from tests.worker.box_office import BoxOffice, eventually
from tests.worker.queue_client import QueueClient
from worker.storage.engine import create_engine

BEFORE_THE_COMMIT = ("before lock", "after lock", "before save", "after save", "before commit")
COMMITTED = ("after commit", "before reply", "after reply", "before acknowledge")
UNANSWERED = (*BEFORE_THE_COMMIT, "commit sent", "after commit", "before reply")
ENDS_WITHIN_SECONDS = 20
SETTLES_SECONDS = 0.2


@pytest.fixture(scope="module")
def own() -> Iterator[Services]:
    with services("tests") as found:
        migrate(found.database_url)
        yield found


@pytest.fixture(scope="module")
async def engine(own: Services) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(own.database_url, 4)
    yield engine
    await engine.dispose()


@pytest.fixture
async def office(engine: AsyncEngine) -> BoxOffice:
    return BoxOffice(engine)


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
    async with service(own, "chaos.crashing_worker", "HOLDFAST_WORKER_PORT", home) as worker:
        yield worker


@pytest.fixture
async def client(own: Services, worker: Service) -> AsyncIterator[QueueClient]:
    await worker.ready()
    async with QueueClient.connected(own.broker_url) as client:
        yield client


async def lay(service: Service, charge: Charge) -> None:
    assert service.lay(charge)
    await asyncio.sleep(SETTLES_SECONDS)  # until it has been read


@pytest.mark.parametrize("point", get_args(Point))
async def test_a_worker_ends_at_its_point_and_the_next_applies_once(
    point: Point, office: BoxOffice, worker: Service, client: QueueClient
) -> None:
    """Faults 5 to 8."""
    user, tickets = await office.user(), await office.ticket_type()
    command = reserve(user, {tickets: 1})
    deaths = len(worker.deaths)
    await lay(worker, Charge(point))
    correlation_id = await client.publish([command])
    assert await worker.died(deaths, ENDS_WITHIN_SECONDS)
    recorded = await office.recorded(command)
    heard = {reply.correlation_id for reply in client.replies}
    assert worker.deaths[-1] == -signal.SIGKILL
    if point in BEFORE_THE_COMMIT:
        assert recorded == []
    if point in COMMITTED:
        assert len(recorded) == 1
    if point in UNANSWERED:
        assert correlation_id not in heard

    async def is_done() -> list[str]:
        done = await client.ready_messages() == 0 and await office.recorded(command)
        return done or []

    (document,) = await eventually(is_done, within_seconds=ENDS_WITHIN_SECONDS)
    assert not recorded or document == recorded[0]
    assert await office.held(tickets) == await office.reserved(tickets) == 1


async def test_a_charge_burns_at_the_passing_that_it_names(
    office: BoxOffice, worker: Service, client: QueueClient
) -> None:
    user, tickets, deaths = await office.user(), await office.ticket_type(), len(worker.deaths)
    await lay(worker, Charge("after acknowledge", passing=3))
    for _ in range(2):
        await client.ask([reserve(user, {tickets: 1})])
    assert len(worker.deaths) == deaths
    await client.publish([reserve(user, {tickets: 1})])
    assert await worker.died(deaths, ENDS_WITHIN_SECONDS)


async def test_a_charge_may_stop_instead_of_kill(
    office: BoxOffice, worker: Service, client: QueueClient
) -> None:
    """Fault 10: stopped after the lock it holds what everybody wants; let go, it commits."""
    user, tickets, deaths = await office.user(), await office.ticket_type(), len(worker.deaths)
    command = reserve(user, {tickets: 1})
    await lay(worker, Charge("after lock", action="stop"))
    correlation_id = await client.publish([command])
    assert await worker.stood_still(ENDS_WITHIN_SECONDS)
    assert await office.recorded(command) == []
    worker.signal(signal.SIGCONT)
    await client.reply_to(correlation_id)
    assert len(worker.deaths) == deaths


@pytest.mark.parametrize("point", get_args(GatewayPoint))
async def test_a_gateway_ends_at_its_point_and_the_same_key_gets_one_outcome(
    point: GatewayPoint, own: Services, worker: Service, tmp_path: Path
) -> None:
    """Faults 1 to 3."""
    await worker.ready()
    async with (
        Deployment(own.database_url, own.broker_url) as deployment,
        service(own, "chaos.crashing_gateway", "HOLDFAST_PORT", tmp_path) as doomed,
        httpx.AsyncClient(timeout=20, trust_env=False) as http,
    ):
        await deployment.start(gateways=1, workers=0)
        await doomed.ready()
        ann = await Site(deployment, http).newcomer()
        tickets = await ann.sale()
        key = new_id()
        deaths = len(doomed.deaths)
        await lay(doomed, Charge(point))
        with pytest.raises(httpx.TransportError):
            await http.post(
                f"{doomed.url}/v1/reservations",
                json={"items": [{"ticket_type_id": tickets, "quantity": 1}]},
                headers={"Authorization": f"Bearer {ann.token}", "Idempotency-Key": key},
            )
        assert await doomed.died(deaths, ENDS_WITHIN_SECONDS)
        first = succeeded(await ann.reserve(tickets, key=key))
        assert succeeded(await ann.reserve(tickets, key=key)) == first
        assert await ann.holds() == {tickets: 1}
