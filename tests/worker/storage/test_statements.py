"""A batch of any size takes the same statements, and each statement finds its rows by index."""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.builders import (
    RULES,
    create_event,
    create_ticket_type,
    register_user,
    release_cart,
    release_item,
    reserve,
    set_quantity,
)
from tests.databases import copy_of
from tests.worker.harness import Harness
from worker.apply import apply
from worker.operations import cancelled_events, retention, sweep
from worker.storage import order_statements, statements
from worker.storage.engine import create_engine

STATEMENTS: dict[str, str] = {
    name: value
    for module in (statements, order_statements, retention, cancelled_events)
    for name, value in vars(module).items()
    if name.isupper() and isinstance(value, str) and "booking." in value
} | {"DUE_HOLDS": sweep.DUE_HOLDS.text.replace(":limit", "$1")}


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that the unit of work sends, as they begin; clear it to begin to count."""
    sent: list[str] = []
    fetch = asyncpg.Connection.fetch

    async def noted(self: asyncpg.Connection, statement: str, *arguments: Any) -> Any:
        sent.append(" ".join(statement.split()[:4]))
        return await fetch(self, statement, *arguments)

    monkeypatch.setattr(asyncpg.Connection, "fetch", noted)
    return sent


async def do_some_of_everything(harness: Harness, size: int, sent: list[str]) -> list[str]:
    """Some of everything: each of `size` users opens, changes or loses a cart."""
    standing, seated = await harness.ticket_types(2, total=10_000)
    due, openers, changers, leavers = [await harness.users(size) for _ in range(4)]
    await harness.apply(*[reserve(u, {standing: 2, seated: 1}) for u in due + changers + leavers])
    await harness.let_holds_pass(due)
    commands = [
        *[reserve(user, {standing: 1}) for user in openers],
        *[set_quantity(user, standing, 1) for user in changers],
        *[release_item(user, seated) for user in changers],
        *[release_cart(user) for user in leavers],
        *[register_user() for _ in range(size)],
        *[create_event(user) for user in openers],
        *[create_ticket_type(harness.organizer, harness.event) for _ in range(size)],
    ]
    sent.clear()
    batch = (await apply(harness.engine, RULES, commands)).batch
    assert {one.outcome.status for one in batch.to_record} == {"succeeded"}
    assert len(batch.changes.closed_carts) == 2 * size
    return list(sent)


async def test_a_batch_of_five_hundred_takes_as_many_statements_as_a_batch_of_one(
    harness: Harness, sent: list[str]
) -> None:
    of_one = await do_some_of_everything(harness, 1, sent)
    assert of_one
    assert await do_some_of_everything(harness, 72, sent) == of_one


@pytest.mark.parametrize("size", [1, 500])
async def test_a_batch_of_reservations_takes_six_statements(
    harness: Harness, sent: list[str], size: int
) -> None:
    """Lock users, read carts, recall, lock ticket types, read events; save."""
    tickets, users = await harness.ticket_type(total=10_000), await harness.users(size)
    commands = [reserve(user, {tickets: 1}) for user in users]

    sent.clear()
    await harness.apply(*commands)

    assert len(sent) == 6, "\n".join(sent)


async def test_a_batch_of_duplicates_writes_nothing(harness: Harness, sent: list[str]) -> None:
    tickets, ann = await harness.ticket_type(), await harness.user()
    command = reserve(ann, {tickets: 1})
    await harness.apply(command)

    sent.clear()
    await harness.apply(command, command)

    writes = (statements.SAVE_HOLDS_AND_OUTCOMES, statements.UPDATE_CARTS)
    assert not set(sent) & {" ".join(statement.split()[:4]) for statement in writes}
    assert {statement.split()[0] for statement in sent} == {"SELECT", "WITH"}


# --- plans ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
async def empty_database(template_url: str) -> AsyncIterator[AsyncEngine]:
    """Migrated, never analyzed, without a row."""
    async with copy_of(template_url) as url:
        engine = create_engine(url, 2)
        yield engine
        await engine.dispose()


async def plan(engine: AsyncEngine, name: str) -> list[dict[str, Any]]:
    """The nodes of the plan that the worker's connection makes for a statement."""
    async with engine.connect() as connection:
        parameters = set(re.findall(r"\$\d+", STATEMENTS[name]))
        arguments = f"({', '.join(['NULL'] * len(parameters))})" if parameters else ""
        await connection.exec_driver_sql(f"PREPARE {name} AS {STATEMENTS[name]}")
        explained = await connection.exec_driver_sql(
            f"EXPLAIN (FORMAT JSON) EXECUTE {name} {arguments}"
        )
        answer = explained.scalar_one()
        await connection.exec_driver_sql(f"DEALLOCATE {name}")
    document = json.loads(answer) if isinstance(answer, str) else answer
    return list(_nodes(document[0]["Plan"]))


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", []):
        yield from _nodes(child)


ONLY_WHAT_IS_WANTED = "events_with_orders_to_cancel"
"""An index of the rows that a statement wants, and of no others."""


def rows_read_in_full(nodes: list[dict[str, Any]]) -> list[str]:
    """Tables that are read from end to end: by a sequential scan, or through a whole index."""
    return [
        f"{node['Node Type']} on {node.get('Relation Name') or node.get('Index Name')}"
        for node in nodes
        if node.get("Operation") is None
        and (
            node["Node Type"] == "Seq Scan"
            or (
                "Index" in node["Node Type"]
                and "Index Cond" not in node
                and node.get("Index Name") != ONLY_WHAT_IS_WANTED
            )
        )
    ]


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_reads_a_table_in_full_on_an_empty_database(
    empty_database: AsyncEngine, name: str
) -> None:
    assert rows_read_in_full(await plan(empty_database, name)) == []


# Of a partitioned table, its partitions.
TABLES_WITH_ROWS = text("""
    SELECT oid::regclass::text FROM pg_class
    WHERE relnamespace = 'booking'::regnamespace AND relkind = 'r'
""")


@pytest.fixture(scope="module")
async def never_analyzed_database(template_url: str) -> AsyncIterator[AsyncEngine]:
    """Grown, and the planner has not yet been told."""
    async with copy_of(template_url) as url:
        engine = create_engine(url, 2)
        async with engine.begin() as connection:
            for table in (await connection.execute(TABLES_WITH_ROWS)).scalars().all():
                await connection.execute(
                    text(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
                )
        await grow(engine)
        yield engine
        await engine.dispose()


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_reads_a_table_in_full_before_the_first_analyze(
    never_analyzed_database: AsyncEngine, name: str
) -> None:
    assert rows_read_in_full(await plan(never_analyzed_database, name)) == []


async def grow(engine: AsyncEngine) -> None:
    harness = Harness(engine)
    for _ in range(5):
        tickets, users = await harness.ticket_type(total=10_000), await harness.users(1_000)
        await harness.apply(*[reserve(user, {tickets: 1}) for user in users[:800]])
        await harness.let_holds_pass(users[:50])


@pytest.fixture(scope="module")
async def grown_database(engine: AsyncEngine) -> AsyncEngine:
    await grow(engine)
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text("ANALYZE"))
    return engine


@pytest.mark.parametrize("name", STATEMENTS)
async def test_no_statement_reads_a_table_in_full_after_growth(
    grown_database: AsyncEngine, name: str
) -> None:
    assert rows_read_in_full(await plan(grown_database, name)) == []
