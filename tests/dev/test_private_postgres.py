"""A Postgres of our own has the settings of `deploy/postgresql.conf`."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from dev.servers.private_postgres import PrivatePostgres, configured_settings
from dev.services import private_postgres
from tests.system.private_servers import started_or_skipped

NEVER_OFF = ("fsync", "full_page_writes", "synchronous_commit")


@pytest.fixture(scope="module")
async def server() -> AsyncIterator[PrivatePostgres]:
    async with started_or_skipped(private_postgres) as started:
        yield started


@pytest.fixture
async def connection(server: PrivatePostgres) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(server.url)
    yield connection
    await connection.close()


async def test_it_has_the_settings_of_the_file_and_no_others(
    connection: asyncpg.Connection,
) -> None:
    rows = await connection.fetch(
        "SELECT name, file.setting FROM pg_settings JOIN pg_file_settings AS file USING (name)"
        " WHERE source = 'configuration file' AND applied"
    )

    assert dict(rows) == configured_settings() != {}


async def test_what_was_committed_survives_a_power_failure(connection: asyncpg.Connection) -> None:
    shown = {name: await connection.fetchval(f"SHOW {name}") for name in NEVER_OFF}

    assert shown == dict.fromkeys(NEVER_OFF, "on")


async def test_alter_system_overrides_the_file(
    server: PrivatePostgres, connection: asyncpg.Connection
) -> None:
    await connection.execute("ALTER SYSTEM SET max_wal_size = '128MB'")
    await connection.execute("SELECT pg_reload_conf()")
    await connection.close()
    another = await asyncpg.connect(server.url)
    try:
        assert await another.fetchval("SHOW max_wal_size") == "128MB"
    finally:
        await another.execute("ALTER SYSTEM RESET max_wal_size")
        await another.close()
