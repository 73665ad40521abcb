"""Fixtures of all tests: a migrated database, a vhost, and a running system."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from dev.services import Services, database, services
from tests.databases import copy_of
from tests.deployment import Deployment, own_deployment
from tests.forks import fork_server
from tests.parallel import (  # noqa: F401 (hooks, which pytest finds here by name)
    pytest_collection,
    pytest_collection_modifyitems,
    pytest_configure_node,
    pytest_make_parametrize_id,
    pytest_runtest_protocol,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
    pytest_xdist_make_scheduler,
)

# Before they are imported, so that pytest rewrites their assertions too.
pytest.register_assert_rewrite("tests.system.books", "tests.system.clients", "tests.system.traffic")


@pytest.fixture(scope="session")
def own_services() -> Iterator[Services]:
    with services("tests") as found:
        yield found


@pytest.fixture(scope="session")
def broker_url(own_services: Services) -> str:
    return own_services.broker_url


@pytest.fixture(scope="session")
def template_url() -> Iterator[str]:
    """The URL of a migrated database to be copied: that takes a tenth of the time of migrating.

    Nothing may connect to it, or it cannot be copied.
    """
    with database("tests") as url:
        migrate(url)
        yield url


@pytest.fixture(scope="session")
async def database_url(template_url: str) -> AsyncIterator[str]:
    """The URL of a migrated database."""
    async with copy_of(template_url) as url:
        yield url


@pytest.fixture(scope="session")
async def system(template_url: str) -> AsyncIterator[Deployment]:
    """Two gateways and two workers, as processes, on a database and a vhost of their own.

    Not on those of the other fixtures: its workers would take the commands of other tests.
    """
    async with own_deployment(template_url) as deployment:
        await deployment.start(gateways=2, workers=2)
        yield deployment


def migrate(database_url: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "migrations"],
        env=os.environ | {"HOLDFAST_DATABASE_URL": database_url},
        check=True,
    )


def pytest_unconfigure() -> None:
    if fork_server.cache_info().currsize:
        fork_server().stop()
