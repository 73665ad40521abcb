"""Fixtures of the system tests: the site, its users, its queue and its books."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from dev.servers.private_rabbitmq import PrivateRabbitMQ
from dev.services import private_rabbitmq
from tests.databases import copy_of
from tests.deployment import Deployment
from tests.system.amqp import Queue
from tests.system.books import Books
from tests.system.clients import Person, Site
from tests.system.private_servers import started_or_skipped

QUEUE_SETTLES_SECONDS = 4.0
REQUEST_SECONDS = 40
"""More than the longest wait that a client may prefer."""


@pytest.fixture(scope="session")
async def http() -> AsyncIterator[httpx.AsyncClient]:
    # A new connection for each request: httpcore may close a kept connection that it has just given
    # to a request, where the connection expires at that moment.
    limits = httpx.Limits(max_connections=500, max_keepalive_connections=0)
    async with httpx.AsyncClient(timeout=REQUEST_SECONDS, limits=limits, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def site(system: Deployment, http: httpx.AsyncClient) -> Site:
    return Site(system, http)


@pytest.fixture(scope="session")
async def queue(system: Deployment) -> AsyncIterator[Queue]:
    async with Queue(system.broker_url) as connected:
        yield connected


@pytest.fixture(scope="session")
async def books(system: Deployment) -> AsyncIterator[Books]:
    async with Books(system.database_url) as opened:
        yield opened


@pytest.fixture(scope="session")
async def organizer(site: Site) -> Person:
    return await site.organizer()


@pytest.fixture
async def alice(site: Site, queue: Queue) -> Person:
    return await site.person(queue)


@pytest.fixture
async def bob(site: Site, queue: Queue) -> Person:
    return await site.person(queue)


@pytest.fixture
async def ticket_type_id(organizer: Person) -> str:
    """Ten tickets on sale."""
    return await organizer.sale(total=10)


@pytest.fixture(scope="module")
async def rabbitmq() -> AsyncIterator[PrivateRabbitMQ]:
    """A node that a test may kill."""
    async with started_or_skipped(private_rabbitmq) as node:
        yield node


@pytest.fixture(scope="module")
async def broker_site(
    rabbitmq: PrivateRabbitMQ, http: httpx.AsyncClient, template_url: str
) -> AsyncIterator[Site]:
    async with (
        copy_of(template_url) as database_url,
        Deployment(database_url, rabbitmq.url) as deployment,
    ):
        await deployment.start(gateways=2, workers=1)
        # RabbitMQ 3.10 registers a quorum queue late; one that was not registered when its node
        # was killed never responds again.
        await asyncio.sleep(QUEUE_SETTLES_SECONDS)
        yield Site(deployment, http)
