"""Closed carts past retention are deleted, in bounded batches, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.builders import id_made_at, release_cart, reserve
from tests.databases import copy_of
from tests.worker.harness import Harness, eventually
from worker.audit.snapshot import take_snapshot
from worker.operations import retention
from worker.operations.retention import delete_batch, delete_closed_carts
from worker.storage.engine import create_engine

DAY = timedelta(days=1)
NOW = datetime.now(UTC)
BEFORE = NOW - 30 * DAY
"""Where the retention of these tests begins."""


@pytest.fixture
async def own_url(template_url: str) -> AsyncIterator[str]:
    async with copy_of(template_url) as url:
        yield url


@pytest.fixture
async def own_engine(own_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(own_url, 8)
    yield engine
    await engine.dispose()


@pytest.fixture
async def own_harness(own_engine: AsyncEngine) -> Harness:
    return Harness(own_engine)


@pytest.fixture
def without_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "MIN_PAUSE_SECONDS", 0)
    monkeypatch.setattr(retention, "PAUSES_PER_BATCH", 0)


async def insert_carts(
    harness: Harness,
    count: int,
    opened_at: datetime,
    *,
    status: str = "expired",
    expires_at: datetime | None = None,
) -> list[str]:
    """Carts of users of their own; their lines are gone since they were closed."""
    users = await harness.users(count)
    ids = sorted(id_made_at(opened_at) for _ in range(count))
    async with harness.engine.begin() as connection:
        await connection.execute(
            text("""
                INSERT INTO booking.carts (id, user_id, status, expires_at)
                SELECT id, user_id, :status, :expires_at
                FROM unnest(CAST(:ids AS uuid[]), CAST(:users AS uuid[])) AS new (id, user_id)
            """),
            {
                "ids": ids,
                "users": users,
                "status": status,
                "expires_at": expires_at or opened_at + timedelta(minutes=10),
            },
        )
    return ids


async def stored(harness: Harness) -> set[str]:
    """The carts that are stored."""
    return {row[0] for row in await harness.rows("SELECT id::text FROM booking.carts")}


@pytest.mark.usefixtures("without_pauses")
async def test_only_carts_that_are_old_and_closed_are_deleted(own_harness: Harness) -> None:
    old = BEFORE - DAY
    for status in ("expired", "released"):
        await insert_carts(own_harness, 3, old, status=status)
    kept = [
        *await insert_carts(own_harness, 3, old, status="active"),
        *await insert_carts(own_harness, 3, NOW),
        # Their commands were a day old when they were decided.
        *await insert_carts(own_harness, 3, old, expires_at=BEFORE),
    ]
    users = await own_harness.rows("SELECT count(*) FROM booking.users")

    assert await delete_closed_carts(own_harness.engine, BEFORE) == 6

    assert await stored(own_harness) == set(kept)
    assert await own_harness.rows("SELECT count(*) FROM booking.users") == users
    assert await delete_closed_carts(own_harness.engine, BEFORE) == 0


@pytest.mark.parametrize(("ahead", "deleted"), [(timedelta(0), 0), (timedelta(milliseconds=1), 1)])
async def test_a_cart_is_kept_until_its_hold_has_been_over_for_the_retention(
    own_harness: Harness, ahead: timedelta, deleted: int
) -> None:
    await insert_carts(own_harness, 1, BEFORE - DAY, expires_at=BEFORE)

    assert await delete_closed_carts(own_harness.engine, BEFORE + ahead) == deleted


@pytest.mark.usefixtures("without_pauses")
async def test_each_transaction_deletes_a_bounded_number_of_carts(
    own_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_CARTS", 4)
    ids = await insert_carts(own_harness, 11, BEFORE - DAY)
    batches: list[list[str]] = []

    async def noted(engine: AsyncEngine, before: datetime, last_id: str) -> list[str]:
        batches.append(sorted(await delete_batch(engine, before, last_id)))
        return batches[-1]

    monkeypatch.setattr(retention, "delete_batch", noted)

    assert await delete_closed_carts(own_harness.engine, BEFORE) == 11
    assert batches == [ids[:4], ids[4:8], ids[8:]]


async def test_it_rests_most_of_the_time(
    own_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_CARTS", 2)
    await insert_carts(own_harness, 5, BEFORE - DAY)
    pauses: list[float] = []

    async def slow(engine: AsyncEngine, before: datetime, last_id: str) -> list[str]:
        await asyncio.sleep(0.02)
        return await delete_batch(engine, before, last_id)

    async def noted(seconds: float) -> None:
        pauses.append(seconds)

    with monkeypatch.context() as patched:
        patched.setattr(retention, "delete_batch", slow)
        sleep = asyncio.sleep
        patched.setattr(retention.asyncio, "sleep", lambda s: sleep(s) if s == 0.02 else noted(s))
        await delete_closed_carts(own_harness.engine, BEFORE)

    assert len(pauses) == 2
    assert min(pauses) >= 9 * 0.02


@pytest.mark.usefixtures("without_pauses")
async def test_a_run_resumes_where_an_earlier_one_failed(
    own_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_CARTS", 3)
    ids = await insert_carts(own_harness, 8, BEFORE - DAY)
    runs = iter([True, False])

    async def failing(engine: AsyncEngine, before: datetime, last_id: str) -> list[str]:
        if not next(runs):
            raise asyncpg.InterfaceError("the connection broke")
        return await delete_batch(engine, before, last_id)

    with monkeypatch.context() as patched:
        patched.setattr(retention, "delete_batch", failing)
        with pytest.raises(asyncpg.InterfaceError):
            await delete_closed_carts(own_harness.engine, BEFORE)

    assert await stored(own_harness) == set(ids[3:])
    assert await delete_closed_carts(own_harness.engine, BEFORE) == 5
    assert await stored(own_harness) == set()


async def test_carts_that_another_worker_is_deleting_are_not_waited_for(
    own_harness: Harness,
) -> None:
    ids = await insert_carts(own_harness, 4, BEFORE - DAY)

    async with own_harness.locked("carts", *ids[:2]):
        async with asyncio.timeout(5):
            assert await delete_closed_carts(own_harness.engine, BEFORE) == 2

    assert await stored(own_harness) == set(ids[:2])


@pytest.mark.usefixtures("without_pauses")
async def test_two_workers_delete_every_cart_once(
    own_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_CARTS", 5)
    await insert_carts(own_harness, 200, BEFORE - DAY)

    deleted = await asyncio.gather(
        *(delete_closed_carts(own_harness.engine, BEFORE) for _ in range(4))
    )

    assert sum(deleted) == 200
    assert await stored(own_harness) == set()


async def test_the_books_balance_while_carts_are_deleted_and_sold(
    own_harness: Harness, own_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "MAX_CARTS", 20)
    monkeypatch.setattr(retention, "MIN_PAUSE_SECONDS", 0.001)
    await insert_carts(own_harness, 300, BEFORE - DAY)
    tickets, users = await own_harness.ticket_type(total=1_000), await own_harness.users(60)
    deleting = asyncio.create_task(delete_closed_carts(own_harness.engine, BEFORE))

    for number, user in enumerate(users):
        await own_harness.apply(reserve(user, {tickets: 1}))
        if number % 2:
            await own_harness.apply(release_cart(user))
        if number % 20 == 0:
            assert (await take_snapshot(own_url)).balanced

    assert await deleting == 300
    assert (await take_snapshot(own_url)).balanced
    assert await own_harness.reserved(tickets) == await own_harness.held(tickets) == 30


@pytest.mark.usefixtures("without_pauses")
async def test_the_tables_stay_flat(own_harness: Harness) -> None:
    """As many carts come each day as go: after the retention, rows and pages grow no more."""

    async def pages_and_rows() -> tuple[int, int]:
        async with own_harness.engine.connect() as connection:
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.execute(text("VACUUM booking.carts, booking.cart_items"))
        rows = await own_harness.rows("""
            SELECT (pg_relation_size('booking.carts') + pg_relation_size('booking.cart_items')
                    + pg_relation_size('booking.carts_pkey')) / 8192,
                   (SELECT count(*) FROM booking.carts)
        """)
        return int(rows[0][0]), int(rows[0][1])

    seen: list[tuple[int, int]] = []
    for day in range(40):
        today = NOW + day * DAY
        await insert_carts(own_harness, 400, today - timedelta(hours=1))
        await delete_closed_carts(own_harness.engine, today - 10 * DAY)
        seen.append(await pages_and_rows())

    pages, rows = zip(*seen, strict=True)
    assert rows[9:] == (4_000,) * 31
    # Postgres uses an emptied page of an index again only after a while.
    assert pages[39] <= pages[15] * 1.5


async def test_a_worker_deletes_old_carts_and_tries_again_after_a_fault(
    own_harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = await insert_carts(own_harness, 3, NOW - 3 * DAY)
    monkeypatch.setattr(retention, "RETRY_SECONDS", 0.01)
    faults = iter([True, False])

    async def failing_once(engine: AsyncEngine, before: datetime) -> int:
        if next(faults, False):
            raise OSError("Postgres is away")
        return await delete_closed_carts(engine, before)

    monkeypatch.setattr(retention, "delete_closed_carts", failing_once)
    job = asyncio.create_task(
        retention.delete_closed_carts_forever(own_harness.engine, retention=2 * DAY)
    )

    async def gone() -> bool:
        return not await stored(own_harness)

    assert ids
    await eventually(gone)
    job.cancel()
