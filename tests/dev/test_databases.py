"""Which rights `make up` needs on a Postgres that the environment names."""

import secrets
from collections.abc import Iterator

import asyncpg
import pytest

from dev.addresses import last_part, shown, with_last_part
from dev.servers.discovery import Unavailable
from dev.servers.postgres import create_database, find_postgres
from dev.services import Services
from dev.waiting import run_blocking
from tests.accounts import as_user

PASSWORD = "hush"


@pytest.fixture
def restricted_url(own_services: Services) -> Iterator[str]:
    """The URL of a database as a user that owns it, and may create no other."""
    name = f"restricted_{secrets.token_hex(4)}"
    server = with_last_part(own_services.database_url, "postgres")
    run_blocking(
        execute(
            server,
            f"CREATE ROLE {name} LOGIN NOCREATEDB PASSWORD '{PASSWORD}'",
            f"CREATE DATABASE {name} OWNER {name}",
            f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        )
    )
    yield with_last_part(as_user(own_services.database_url, name, PASSWORD), name)
    run_blocking(execute(server, f"DROP DATABASE {name} WITH (FORCE)", f"DROP ROLE {name}"))


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


def test_a_database_that_exists_needs_no_right_to_create_one(
    restricted_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", restricted_url)

    server = find_postgres(None, None)
    create_database(server.url, last_part(restricted_url))

    assert server.ownership == "given"
    run_blocking(execute(restricted_url, "CREATE TABLE kept ()"))
    create_database(server.url, last_part(restricted_url))
    run_blocking(execute(restricted_url, "SELECT FROM kept"))


def test_a_database_that_is_missing_and_may_not_be_created_is_named(restricted_url: str) -> None:
    with pytest.raises(Unavailable) as refusal:
        create_database(restricted_url, "not_there")

    assert "there is no database not_there" in str(refusal.value)
    assert shown(restricted_url) in str(refusal.value)
    assert PASSWORD not in str(refusal.value)
