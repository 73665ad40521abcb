"""The settings of Postgres of which a worker warns, on a server of its own."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from dev.servers.private_postgres import PrivatePostgres
from dev.services import private_postgres, services
from tests.conftest import migrate
from tests.deployment import Deployment
from tests.system.private_servers import started_or_skipped
from tests.worker.harness import eventually
from worker.operations import postgres_settings
from worker.operations.postgres_settings import settings_warnings, warn_of_settings
from worker.storage import engine as engines
from worker.storage.engine import create_engine

CONNECTIONS = 7
"""As many as a worker may open."""


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PrivatePostgres]:
    async with started_or_skipped(private_postgres) as started:
        yield started


@pytest.fixture
async def postgres(server: PrivatePostgres) -> AsyncIterator[PrivatePostgres]:
    """The server, with its own settings again afterwards."""
    yield server
    await execute(server, "ALTER SYSTEM RESET ALL")
    await execute(server, "ALTER DATABASE postgres RESET ALL")
    await asyncio.to_thread(server.restart)


@pytest.fixture
async def engine(postgres: PrivatePostgres) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(postgres.url, CONNECTIONS)
    yield engine
    await engine.dispose()


async def execute(server: PrivatePostgres, statement: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def set_and_restart(server: PrivatePostgres, setting: str, value: str) -> None:
    await execute(server, f"ALTER SYSTEM SET {setting} = {value}")
    await asyncio.to_thread(server.restart)


async def test_the_settings_of_our_own_servers_cause_no_warning(engine: AsyncEngine) -> None:
    assert await settings_warnings(engine) == []


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "off"),
        ("full_page_writes", "off"),
        ("autovacuum", "off"),
        ("max_wal_size", "'1023MB'"),
        # Three are reserved, and one is in use.
        ("max_connections", "9"),
    ],
)
async def test_a_setting_of_the_server_causes_one_warning(
    setting: str, value: str, postgres: PrivatePostgres, engine: AsyncEngine
) -> None:
    if setting == "max_connections":  # else it would not start: its WAL senders count, too
        await execute(postgres, "ALTER SYSTEM SET max_wal_senders = 2")
    await set_and_restart(postgres, setting, value)

    (warning,) = await settings_warnings(engine)

    assert warning.startswith(f"{setting} is {value.strip(chr(39)).replace('MB', ' MB')}")


async def test_as_many_connections_as_this_worker_needs_are_enough(
    postgres: PrivatePostgres, engine: AsyncEngine
) -> None:
    await execute(postgres, "ALTER SYSTEM SET max_wal_senders = 2")
    await set_and_restart(postgres, "max_connections", str(CONNECTIONS + 3))

    assert await settings_warnings(engine) == []


async def test_commits_that_do_not_wait_for_the_disk_cause_a_warning_where_a_worker_gets_them(
    postgres: PrivatePostgres, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await execute(postgres, "ALTER DATABASE postgres SET synchronous_commit = off")
    assert await settings_warnings(engine) == []  # a worker's connection switches it on

    # As behind a pooler that drops what a connection asks for at its start.
    monkeypatch.delitem(engines.SERVER_SETTINGS, "synchronous_commit")
    pooled = create_engine(postgres.url, CONNECTIONS)
    try:
        (warning,) = await settings_warnings(pooled)
    finally:
        await pooled.dispose()

    assert warning.startswith("synchronous_commit is off")


async def test_it_asks_again_until_postgres_answers(
    server: PrivatePostgres, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres_settings, "RETRY_SECONDS", 0.01)
    monkeypatch.setattr(postgres_settings, "SMALLEST_MAX_WAL_SIZE_MB", 1 << 30)
    engine = create_engine(server.url, CONNECTIONS)
    await asyncio.to_thread(server.stop)
    checking = asyncio.create_task(warn_of_settings(engine))

    async def is_retried() -> bool:
        return "is retried" in caplog.text

    await eventually(is_retried)
    await asyncio.to_thread(server.start)
    await checking
    await engine.dispose()

    assert "Postgres: max_wal_size is" in caplog.text


async def test_a_worker_starts_all_the_same_and_logs_the_warning(
    postgres: PrivatePostgres,
) -> None:
    await set_and_restart(postgres, "full_page_writes", "off")
    migrate(postgres.url)
    with services("tests") as own:
        async with Deployment(postgres.url, own.broker_url) as deployment:
            await deployment.start(gateways=0, workers=1)
            (worker,) = deployment.workers

            async def is_logged() -> bool:
                return "full_page_writes is off" in worker.log.read_text()

            await eventually(is_logged)
