"""The system of the tests that run alone: small, so that little competes with what is measured."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.databases import services_with_copy_of
from tests.deployment import Deployment
from tests.system.clients import Site
from tests.system.guessers import Guesser, guessers_of


@pytest.fixture(scope="session")
async def deployment(template_url: str) -> AsyncIterator[Deployment]:
    async with (
        services_with_copy_of(template_url) as own,
        Deployment(own.database_url, own.broker_url) as deployment,
    ):
        await deployment.start()
        yield deployment


@pytest.fixture(scope="session")
def small_site(deployment: Deployment, http: httpx.AsyncClient) -> Site:
    return Site(deployment, http)


@pytest.fixture
async def guessers(small_site: Site) -> AsyncIterator[Callable[[str], Guesser]]:
    async with guessers_of(small_site) as at:
        yield at
