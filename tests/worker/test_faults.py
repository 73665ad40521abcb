"""Faults of Postgres are waited out, and what was applied is applied once."""

import asyncio
import functools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest
from asyncpg import DivisionByZeroError, InterfaceError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.builders import RULES, release_cart, reserve
from tests.worker.harness import Harness, decode
from tests.worker.wire import Wire
from worker.apply import apply
from worker.committer import Committer
from worker.faults import is_transient
from worker.storage import engine as engines
from worker.storage.driver import transaction
from worker.storage.engine import create_engine
from worker.telemetry import RETRIES


@asynccontextmanager
async def a_committer_of(engine: AsyncEngine) -> AsyncIterator[Committer]:
    committer = Committer(functools.partial(apply, engine, RULES))
    committer.start()
    yield committer
    await committer.stop()
    await engine.dispose()


def retries() -> float:
    return RETRIES._value.get()


async def test_a_backend_terminated_while_it_waits_is_retried(
    harness: Harness, committer: Committer
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    before = retries()
    async with harness.locked("ticket_types", tickets) as other:
        deciding = asyncio.ensure_future(committer.submit([reserve(ann, {tickets: 1})]))
        (pid,) = await harness.waiting(1)
        await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        await harness.waiting(1)

    (outcome,) = await deciding
    assert decode(outcome).status == "succeeded"
    assert retries() > before
    assert await harness.held(tickets) == 1


async def test_a_statement_cancelled_while_it_waits_is_retried(
    harness: Harness, committer: Committer
) -> None:
    """So ends a statement that exceeds its time-out, too."""
    ann, tickets = await harness.user(), await harness.ticket_type()
    before = retries()
    async with harness.locked("ticket_types", tickets) as other:
        deciding = asyncio.ensure_future(committer.submit([reserve(ann, {tickets: 1})]))
        (pid,) = await harness.waiting(1)
        await other.execute(text("SELECT pg_cancel_backend(:pid)"), {"pid": pid})
        async with asyncio.timeout(5):
            while retries() == before:
                await asyncio.sleep(0.01)

    (outcome,) = await deciding
    assert decode(outcome).status == "succeeded"
    assert await harness.held(tickets) == 1


async def test_a_lock_time_out_is_retried(
    harness: Harness, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(engines.SERVER_SETTINGS, "lock_timeout", "20ms")
    ann, tickets = await harness.user(), await harness.ticket_type()
    before = retries()
    async with a_committer_of(create_engine(database_url, 4)) as committer:
        async with harness.locked("ticket_types", tickets):
            deciding = asyncio.ensure_future(committer.submit([reserve(ann, {tickets: 1})]))
            async with asyncio.timeout(5):
                while retries() < before + 2:
                    await asyncio.sleep(0.01)
            assert not deciding.done()
        (outcome,) = await deciding

    assert decode(outcome).status == "succeeded"
    assert await harness.held(tickets) == 1


async def test_a_deadlock_is_retried(harness: Harness, committer: Committer) -> None:
    """Somebody who locks in another order, with `psql` say, costs a retry and no command."""
    ann, (first, second) = await harness.user(), await harness.ticket_types(2)
    before = retries()
    async with harness.locked("ticket_types", second) as other:
        deciding = asyncio.ensure_future(committer.submit([reserve(ann, {first: 1, second: 1})]))
        await harness.waiting(1)
        crossing = other.execute(
            text(f"SELECT FROM booking.ticket_types WHERE id = '{first}' FOR UPDATE")
        )
        await crossing  # ours once the worker, as the victim, has let go

    (outcome,) = await deciding
    assert decode(outcome).status == "succeeded"
    assert retries() > before
    assert await harness.held(first) == await harness.held(second) == 1


async def test_a_commit_whose_answer_was_lost_is_applied_once(
    harness: Harness, database_url: str
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(ann, {tickets: 1})
    wire, before = Wire(database_url), retries()
    async with wire.open() as url, a_committer_of(create_engine(url, 4)) as committer:
        await committer.submit([release_cart(ann)])
        wire.cut_after_commit = True

        (outcome,) = await committer.submit([command])

    assert wire.commits_cut == 1
    assert retries() > before
    assert [outcome.document] == await harness.recorded(command)
    assert await harness.held(tickets) == await harness.reserved(tickets) == 1


@pytest.mark.parametrize("statement", [b"BEGIN", b"COMMIT"])
async def test_an_outcome_sent_after_a_late_answer_is_committed(
    harness: Harness, database_url: str, monkeypatch: pytest.MonkeyPatch, statement: bytes
) -> None:
    """A frozen Postgres goes on with what it was sent; by then the worker has given up on it."""
    monkeypatch.setattr(engines, "COMMAND_TIMEOUT_SECONDS", 0.3)
    ann, tickets = await harness.user(), await harness.ticket_type()
    wire, before = Wire(database_url), retries()
    async with wire.open() as url, a_committer_of(create_engine(url, 1)) as committer:
        await committer.submit([release_cart(ann)])
        wire.keeps_back_after = statement
        commands = [reserve(ann, {tickets: 1}) for _ in range(5)]
        deciding = committer.submit(commands[:1])
        async with asyncio.timeout(5):
            while retries() == before:
                await asyncio.sleep(0.01)
        wire.may_answer.set()
        outcomes = await deciding
        for command in commands[1:]:
            outcomes += await committer.submit([command])

    assert wire.kept_back
    assert sorted(one.document for one in outcomes) == sorted(await harness.recorded(*commands))
    assert await harness.held(tickets) == await harness.reserved(tickets) == 5


async def test_a_transaction_that_postgres_rolled_back_is_not_taken_for_committed(
    engine: AsyncEngine,
) -> None:
    """To COMMIT after a statement that failed it answers ROLLBACK, and no error."""

    async def fail_and_go_on() -> None:
        async with transaction(engine) as driver:
            with suppress(DivisionByZeroError):
                await driver.fetch("SELECT 1 / 0")

    with pytest.raises(InterfaceError):
        await fail_and_go_on()
    async with transaction(engine) as driver:
        assert await driver.fetchval("SELECT 1") == 1


async def test_a_table_that_is_being_restored_is_waited_for(
    harness: Harness, committer: Committer
) -> None:
    """Else all that is in the queue would be set aside, and no outcome recorded."""
    ann, tickets = await harness.user(), await harness.ticket_type()
    before = retries()
    await _execute(harness, "ALTER TABLE booking.carts RENAME TO carts_away")
    try:
        deciding = asyncio.ensure_future(committer.submit([reserve(ann, {tickets: 1})]))
        async with asyncio.timeout(5):
            while retries() < before + 2:
                await asyncio.sleep(0.01)
    finally:
        await _execute(harness, "ALTER TABLE booking.carts_away RENAME TO carts")

    (outcome,) = await deciding
    assert decode(outcome).status == "succeeded"
    assert await harness.held(tickets) == 1


async def _execute(harness: Harness, statement: str) -> None:
    async with harness.engine.begin() as connection:
        await connection.execute(text(statement))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (asyncpg.InvalidPasswordError, True),
        (asyncpg.InvalidAuthorizationSpecificationError, True),
        (asyncpg.InvalidCatalogNameError, True),
        (asyncpg.InvalidSchemaNameError, True),
        (asyncpg.InsufficientPrivilegeError, True),
        (asyncpg.UndefinedTableError, True),
        (asyncpg.UndefinedColumnError, False),
        (asyncpg.CheckViolationError, False),
        (asyncpg.NumericValueOutOfRangeError, False),
        (asyncpg.PostgresSyntaxError, False),
    ],
)
def test_an_error_that_no_command_can_cause_is_transient(
    error: type[asyncpg.PostgresError], passes: bool
) -> None:
    assert is_transient(error("it failed")) == passes


async def test_a_database_that_is_away_is_waited_for(harness: Harness, database_url: str) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    wire, before = Wire(database_url), retries()
    async with wire.open() as url:
        engine = create_engine(url, 4)
    async with a_committer_of(engine) as committer:
        deciding = asyncio.ensure_future(committer.submit([reserve(ann, {tickets: 1})]))
        async with asyncio.timeout(5):
            while retries() < before + 2:
                await asyncio.sleep(0.01)

        assert not deciding.done()
        deciding.cancel()

    assert await harness.held(tickets) == 0
