"""Every statement of a process may be run under the role of that process."""

import re
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import TextClause

from gateway.read_model import queries
from tests.migrations.conftest import Server, connect
from worker.operations import partitions, sweep
from worker.storage import statements

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


def _is_statement(name: str, value: Any) -> bool:
    is_text = isinstance(value, str) and name[0].isalpha() and name.isupper() and " " in value
    return is_text or isinstance(value, TextClause)


def statements_of(account: str, *modules: ModuleType) -> list[Any]:
    return [
        pytest.param(account, statement, id=f"{account} {name}")
        for module in modules
        for name, statement in vars(module).items()
        if _is_statement(name, statement)
    ]


CASES = [
    *statements_of("worker", statements, sweep, partitions),
    *statements_of("gateway", queries),
]


def test_the_statements_were_found() -> None:
    assert len(CASES) > 20


def positional(sql: str) -> tuple[str, list[str]]:
    """Replace SQLAlchemy's parameters (:name) by those of Postgres ($1)."""
    names = list(dict.fromkeys(re.findall(r"(?<!:):(\w+)", sql)))
    return re.sub(r"(?<!:):(\w+)", lambda found: f"${names.index(found[1]) + 1}", sql), names


@pytest.mark.parametrize(("account", "statement"), CASES)
async def test_a_statement_may_be_run(
    server: Server, account: str, statement: TextClause | str
) -> None:
    connection = await connect(server.accounts[account])
    try:
        sql, names = positional(str(statement))
        types = (await connection.prepare(sql)).get_parameters()
        values = [
            LONG_PAST.get(name, [] if type.kind == "array" else VALUES.get(type.name))
            for name, type in zip_longest(names, types)
        ]
        async with connection.transaction():
            await connection.fetch(sql, *values)
    finally:
        await connection.close()
