"""Every statement of a process may be run under the role of that process."""

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import TextClause

from gateway.read_model import queries
from tests.migrations.conftest import Server, connect
from worker.operations import partitions, sweep
from worker.storage import solo_attempts, statements
from worker.storage.driver import _positional, fetch

VALUES: dict[str, Any] = {
    "uuid": UUID(int=0),
    "text": "",
    "int4": 1,
    "int8": 1,
    "date": datetime.now(UTC).date(),
    "interval": timedelta(days=30),
    "timestamptz": datetime.now(UTC),
}
LONG_PAST = {"before": datetime.now(UTC).date() - timedelta(days=30)}
"""What not every value of its type would do for."""


def statements_of(account: str, *modules: ModuleType) -> list[Any]:
    return [
        pytest.param(account, statement, id=f"{account} {name}")
        for module in modules
        for name, statement in vars(module).items()
        if isinstance(statement, TextClause)
    ]


CASES = [
    *statements_of("worker", statements, solo_attempts, sweep, partitions),
    *statements_of("gateway", queries),
]


def test_the_statements_were_found() -> None:
    assert len(CASES) > 20


@pytest.mark.parametrize(("account", "statement"), CASES)
async def test_a_statement_may_be_run(server: Server, account: str, statement: TextClause) -> None:
    connection = await connect(server.accounts[account])
    try:
        sql, names = _positional(statement.text)
        types = (await connection.prepare(sql)).get_parameters()
        values = {
            name: LONG_PAST.get(name, [] if type.kind == "array" else VALUES.get(type.name))
            for name, type in zip(names, types, strict=True)
        }
        async with connection.transaction():
            await fetch(connection, statement, values)
    finally:
        await connection.close()
