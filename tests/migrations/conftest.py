"""A Postgres for these tests alone, with the accounts of a deployment."""

from collections.abc import Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from dev.addresses import with_last_part
from dev.servers.postgres import create_database
from dev.services import private_postgres
from tests.accounts import make_database_accounts


@dataclass(frozen=True)
class Server:
    """A server of its own: on others the roles exist already and have members."""

    administrator: str
    accounts: dict[str, str]
    """The URL of each."""

    def database(self, name: str) -> str:
        """Make an empty database and return its administrator's URL."""
        create_database(self.administrator, name)
        return with_last_part(self.administrator, name)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with private_postgres() as postgres:
        create_database(postgres.url, "holdfast")
        url = with_last_part(postgres.url, "holdfast")
        yield Server(url, make_database_accounts(url))


async def connect(url: str) -> asyncpg.Connection:
    return await asyncpg.connect(url, timeout=10)


async def attempt(url: str, statement: str) -> None:
    connection = await connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
