"""The monitor on a real database: it finds what is wrong there, each time made so on purpose."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from dev.services import Services
from reliability.chaos.checks.database import Database
from reliability.chaos.checks.monitor import Monitor
from tests.databases import services_with_copy_of
from tests.worker.harness import Harness, eventually
from worker.storage.engine import create_engine

EVERY_SECONDS = 0.2


@pytest.fixture(scope="module")
async def own(template_url: str) -> AsyncIterator[Services]:
    """Not those of other tests, which corrupt the database and in which deadlocks are counted."""
    async with services_with_copy_of(template_url) as found:
        yield found


@pytest.fixture
async def database(own: Services) -> AsyncIterator[Database]:
    async with Database(own.database_url) as database:
        yield database


@pytest.fixture
async def harness(own: Services) -> AsyncIterator[Harness]:
    engine = create_engine(own.database_url, 2)
    yield Harness(engine)
    await engine.dispose()


@pytest.fixture
async def two(own: Services) -> AsyncIterator[list[Any]]:
    """Two sessions with Postgres."""
    connections = [await asyncpg.connect(own.database_url) for _ in range(2)]
    yield connections
    for connection in connections:
        connection.terminate()


async def noted(monitor: Monitor, what: str) -> None:
    async def is_noted() -> bool:
        return any(what in finding for finding in monitor.findings)

    await eventually(is_noted)


async def test_it_has_nothing_to_say_while_nobody_is_there_to_sweep(
    database: Database, harness: Harness, two: list[Any]
) -> None:
    tickets = await harness.ticket_type()
    users = await harness.due_carts(2, {tickets: 1})
    await two[0].execute(
        """
        WITH due AS (
            UPDATE booking.carts SET expires_at = now() - interval '1 hour'
            WHERE user_id = ANY ($1::uuid[]) RETURNING id, expires_at
        )
        UPDATE booking.cart_items AS line SET expires_at = due.expires_at
        FROM due WHERE line.cart_id = due.id
        """,
        users,
    )
    async with Monitor(database) as monitor:

        async def has_looked() -> bool:
            return monitor.looks >= 2

        await eventually(has_looked)
    assert monitor.findings == []
    assert monitor.failed_looks == 0


async def test_it_notes_drift(database: Database, harness: Harness, two: list[Any]) -> None:
    tickets = await harness.ticket_type()
    reserve = "UPDATE booking.ticket_types SET reserved = $1 WHERE id = $2::uuid"
    async with Monitor(database) as monitor:
        await two[0].execute(reserve, 1, tickets)
        await noted(monitor, f"I1, I2: drift {tickets}")
    await two[0].execute(reserve, 0, tickets)


async def test_it_notes_a_deadlock(database: Database, harness: Harness, two: list[Any]) -> None:
    lock = "SELECT FROM booking.users WHERE id = $1::uuid FOR UPDATE"
    users = await harness.users(2)
    async with Monitor(database) as monitor:
        for connection, user in zip(two, users, strict=True):
            await connection.execute("BEGIN")
            await connection.execute("SET LOCAL deadlock_timeout = '10ms'")
            await connection.fetch(lock, user)
        crossed = [
            asyncio.ensure_future(connection.fetch(lock, user))
            for connection, user in zip(two, reversed(users), strict=True)
        ]
        outcomes = await asyncio.gather(*crossed, return_exceptions=True)
        assert any(isinstance(each, asyncpg.DeadlockDetectedError) for each in outcomes)
        for connection in two:
            await connection.close()  # a session reports its own when it ends
        await noted(monitor, "I13: 1 deadlocks")
    assert monitor.deadlocks == 1


async def test_it_notes_who_idles_in_a_transaction(
    database: Database, two: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reliability.chaos.checks.monitor.IDLE_SECONDS", 0.2)
    monkeypatch.setattr("reliability.chaos.checks.monitor.MAX_LOOKS_IDLE", 2)
    await two[0].execute("SET application_name = 'somebody'")
    await two[0].execute("BEGIN")
    async with Monitor(database) as monitor:
        await noted(monitor, "I13: somebody idles in a transaction")


class Slow:
    """Database of which each look takes most of the time until the next."""

    def __init__(self) -> None:
        self.began_at: list[float] = []

    async def audit(self) -> None:
        self.began_at.append(time.monotonic())
        await asyncio.sleep(0.8 * EVERY_SECONDS)
        raise OSError  # as when Postgres is away


async def test_a_look_that_takes_its_time_does_not_put_off_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("reliability.chaos.checks.monitor.EVERY_SECONDS", EVERY_SECONDS)
    slow = Slow()
    async with Monitor(slow) as monitor:

        async def has_looked() -> bool:
            return len(slow.began_at) > 8

        await eventually(has_looked)
    seconds = slow.began_at[8] - slow.began_at[0]
    assert seconds < 8 * 1.4 * EVERY_SECONDS
    assert monitor.failed_looks >= 8
