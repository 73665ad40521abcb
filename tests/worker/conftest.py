"""A database, a vhost and an engine for the worker's tests alone.

The workers of other tests would sweep this database's carts and take this vhost's messages, so the
fixtures of `tests.conftest` are registered once more for this folder.
"""

import functools
from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from tests import conftest
from tests.builders import RULES
from tests.worker.harness import Harness
from worker.apply import apply
from worker.committer import Committer
from worker.storage.engine import create_engine

own_services = conftest.own_services
broker_url = conftest.broker_url
database_url = conftest.database_url


@pytest.fixture(scope="session")
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database_url, 20)
    yield engine
    await engine.dispose()


@pytest.fixture
async def harness(engine: AsyncEngine) -> Harness:
    return Harness(engine)


@pytest.fixture
async def committer(engine: AsyncEngine) -> AsyncIterator[Committer]:
    committer = Committer(functools.partial(apply, engine, RULES))
    committer.start()
    yield committer
    await committer.stop()


@pytest.fixture
async def other_committer(engine: AsyncEngine) -> AsyncIterator[Committer]:
    """Another worker's: what both are given is never decided in one batch."""
    committer = Committer(functools.partial(apply, engine, RULES))
    committer.start()
    yield committer
    await committer.stop()
