"""The system of the tests that run alone: small, so that little competes with what is measured."""

from collections.abc import AsyncIterator, Callable

import httpx
import pytest

from tests.deployment import Deployment, own_deployment
from tests.system.clients import Site
from tests.system.guessers import Guesser, guessers_of


@pytest.fixture(scope="session")
async def deployment(template_url: str) -> AsyncIterator[Deployment]:
    async with own_deployment(template_url) as deployment:
        await deployment.start()
        yield deployment


@pytest.fixture(scope="session")
def small_site(deployment: Deployment, http: httpx.AsyncClient) -> Site:
    return Site(deployment, http)


@pytest.fixture
async def guessers(small_site: Site) -> AsyncIterator[Callable[[str], Guesser]]:
    async with guessers_of(small_site) as at:
        yield at
