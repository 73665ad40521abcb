"""Servers for these tests alone, and a deployment on accounts with the least privileges."""

from collections.abc import AsyncIterator, Iterator

import httpx
import pytest

from dev.addresses import with_last_part
from dev.servers.discovery import Unavailable
from dev.servers.postgres import create_database
from dev.servers.private_rabbitmq import PrivateRabbitMQ
from dev.services import private_postgres, private_rabbitmq
from tests.accounts import make_broker_accounts, make_database_accounts
from tests.deployment import Deployment
from tests.system.clients import Site
from tests.system.permissions.publisher import Publisher


@pytest.fixture(scope="package")
def node() -> Iterator[PrivateRabbitMQ]:
    try:
        with private_rabbitmq() as started:
            yield started
    except Unavailable as missing:
        pytest.skip(f"no node whose accounts could be made: {missing}")


@pytest.fixture(scope="package")
def brokers(node: PrivateRabbitMQ) -> dict[str, str]:
    """The broker's URL for each account, and for its administrator."""
    return {"administrator": node.url} | make_broker_accounts(node)


@pytest.fixture(scope="package")
def databases() -> Iterator[dict[str, str]]:
    """The database's URL for each account."""
    with private_postgres() as postgres:
        create_database(postgres.url, "holdfast")
        yield make_database_accounts(with_last_part(postgres.url, "holdfast"))


@pytest.fixture(scope="package")
async def deployment(
    brokers: dict[str, str], databases: dict[str, str]
) -> AsyncIterator[Deployment]:
    """A worker and two gateways, each on accounts of its own."""
    async with Deployment(databases["gateway"], brokers["gateway"]) as started:
        worker = started.add(
            "worker",
            started.workers,
            HOLDFAST_DATABASE_URL=databases["worker"],
            HOLDFAST_BROKER_URL=brokers["worker"],
            HOLDFAST_COMMAND_ACCOUNTS="gateway, operator",
        )
        await worker.start()
        await started.start(gateways=2, workers=0)
        yield started


@pytest.fixture(scope="package")
def guarded_site(deployment: Deployment, http: httpx.AsyncClient) -> Site:
    return Site(deployment, http)


@pytest.fixture
async def publisher(guarded_site: Site, brokers: dict[str, str]) -> Publisher:
    organizer = await guarded_site.organizer()
    return Publisher(brokers, await guarded_site.newcomer(), await organizer.sale(total=10))
