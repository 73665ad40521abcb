"""Outcomes partitioned by day: the migration, new partitions, and drops."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from dev.services import database
from shared.ids import id_at
from tests.conftest import migrate
from tests.databases import copy_of
from worker.storage.engine import create_engine

FOLDER = Path(__file__).parents[2] / "migrations"
DAY = timedelta(days=1)
ROLE = "pg_monitor"
"""One that every server has."""

PARTITIONS = """
    SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
    WHERE inhparent = 'booking.outcomes'::regclass ORDER BY relname
"""


def today() -> date:
    return datetime.now(UTC).date()


def named(*days: date) -> list[str]:
    return [f"outcomes_{day:%Y%m%d}" for day in days]


def id_of(day: date, hours: int = 12) -> str:
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=hours)
    return id_at(int(at.timestamp() * 1000))


async def record(connection: asyncpg.Connection, *command_ids: str) -> None:
    for command_id in command_ids:
        await connection.execute(
            "INSERT INTO booking.outcomes VALUES ($1, $1, '', 'recorded', now())", command_id
        )


async def partitions(connection: asyncpg.Connection) -> list[str]:
    return [row[0] for row in await connection.fetch(PARTITIONS)]


@pytest.fixture(scope="module")
def original() -> Iterator[str]:
    """An empty database, to be copied."""
    with database("tests") as url:
        yield url


@pytest.fixture
async def empty_url(original: str) -> AsyncIterator[str]:
    async with copy_of(original) as url:
        yield url


@pytest.fixture
async def migrated_url(template_url: str) -> AsyncIterator[str]:
    async with copy_of(template_url) as url:
        yield url


@pytest.fixture
async def migrated(migrated_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(migrated_url)
    yield connection
    await connection.close()


async def upgrade(database_url: str, revision: str) -> None:
    """Upgrade a database from the version before to this one alone."""
    script = ScriptDirectory(str(FOLDER)).get_revision(revision)
    assert script is not None

    def run(connection: Connection) -> None:
        with Operations.context(MigrationContext.configure(connection)):
            script.module.upgrade()

    engine = create_engine(database_url, 1)
    async with engine.begin() as connection:
        await connection.run_sync(run)
    await engine.dispose()


# --- the migration --------------------------------------------------------------------------


async def test_recorded_outcomes_are_kept_by_the_migration(empty_url: str) -> None:
    ids = [id_of(today() - 40 * DAY), id_of(today() - DAY), id_of(today()), id_of(today(), 36)]
    await upgrade(empty_url, "0001")
    connection = await asyncpg.connect(empty_url)
    await record(connection, *ids)
    await connection.execute(f"GRANT SELECT ON read_model.outcomes TO {ROLE}")

    await upgrade(empty_url, "0002")

    try:
        for table in ("booking.outcomes", "read_model.outcomes"):
            rows = await connection.fetch(f"SELECT command_id::text, document FROM {table}")
            assert sorted(tuple(row) for row in rows) == [(id, "recorded") for id in sorted(ids)]
        may_read = "SELECT has_table_privilege($1, 'read_model.outcomes', 'SELECT')"
        assert await connection.fetchval(may_read, ROLE)
        # One partition, to the day of the youngest; then one a day.
        days = [today() + n * DAY for n in range(1, 5)]
        assert await partitions(connection) == named(*days)
        for known in ids:
            with pytest.raises(asyncpg.UniqueViolationError):
                await record(connection, known)
        await record(connection, id_of(today()), id_of(today() + 2 * DAY), id_of(today() - DAY))
    finally:
        await connection.close()


async def test_outcomes_that_could_not_be_applied_are_flagged(empty_url: str) -> None:
    documents = {
        id_of(today(), 1): '{"status":"succeeded"}',
        id_of(today(), 2): '{"refusal":{"detail":"It broke.","code":"unprocessable"}}',
        id_of(today(), 3): (
            '{"refusal":{"detail":"The sale would end before it starts.","code":"unprocessable"}}'
        ),
    }
    for revision in ("0001", "0002"):
        await upgrade(empty_url, revision)
    connection = await asyncpg.connect(empty_url)
    for command_id, document in documents.items():
        await connection.execute(
            "INSERT INTO booking.outcomes VALUES ($1, $1, '', $2, now())", command_id, document
        )

    await upgrade(empty_url, "0003")

    try:
        rows = await connection.fetch(
            "SELECT command_id::text, dead_letter FROM booking.outcomes ORDER BY command_id"
        )
        assert [tuple(row) for row in rows] == [
            (command_id, hours == 2) for hours, command_id in enumerate(documents, 1)
        ]
    finally:
        await connection.close()


async def test_a_fresh_database_has_the_days_of_the_window_and_four_ahead(
    migrated: asyncpg.Connection,
) -> None:
    days = [today() + n * DAY for n in range(-2, 5)]

    assert await partitions(migrated) == named(*days)
    await record(migrated, *[id_of(day, hours) for day in days for hours in (0, 23)])


async def test_a_longer_window_has_more_days(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOLDFAST_COMMAND_WINDOW_SECONDS", str(7 * 86_400))
    migrate(empty_url)
    connection = await asyncpg.connect(empty_url)

    found = await partitions(connection)
    await connection.close()

    assert found[0] == named(today() - 8 * DAY)[0]


@pytest.mark.parametrize("days", [-3, -1_000, 5, 10_000])
async def test_an_id_without_a_partition_cannot_be_recorded(
    migrated: asyncpg.Connection, days: int
) -> None:
    with pytest.raises(asyncpg.CheckViolationError) as refused:
        await record(migrated, id_of(today() + days * DAY))

    assert refused.value.constraint_name is None


# --- the functions --------------------------------------------------------------------------


async def make(connection: asyncpg.Connection, until: date) -> date:
    return await connection.fetchval("SELECT booking.make_outcome_partitions($1)", until)


async def drop(connection: asyncpg.Connection, before: date) -> int:
    return await connection.fetchval("SELECT booking.drop_outcome_partitions($1)", before)


async def test_days_are_added_up_to_the_one_that_is_asked_for(
    migrated: asyncpg.Connection,
) -> None:
    assert await make(migrated, today() + 6 * DAY) == today() + 7 * DAY
    assert await make(migrated, today() + 5 * DAY) == today() + 7 * DAY

    assert (await partitions(migrated))[-2:] == named(today() + 5 * DAY, today() + 6 * DAY)
    await record(migrated, id_of(today() + 6 * DAY))


async def test_a_partition_looks_up_by_index(migrated: asyncpg.Connection) -> None:
    await make(migrated, today() + 5 * DAY)
    (new,) = named(today() + 5 * DAY)

    assert await migrated.fetchval(
        "SELECT indexdef FROM pg_indexes WHERE schemaname = 'booking' AND tablename = $1", new
    ) == (f"CREATE UNIQUE INDEX {new}_pkey ON booking.{new} USING btree (command_id)")


async def test_a_day_that_is_past_never_gets_a_partition(migrated: asyncpg.Connection) -> None:
    """Its outcomes may have been dropped, so commands could be applied a second time."""
    for partition in await partitions(migrated):
        await migrated.execute(f"DROP TABLE booking.{partition}")

    await make(migrated, today() + DAY)

    assert await partitions(migrated) == named(today(), today() + DAY)


async def test_a_partition_too_far_ahead_is_refused(migrated: asyncpg.Connection) -> None:
    """The clock of the caller is wrong."""
    before = await partitions(migrated)
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await make(migrated, today() + 15 * DAY)

    assert await partitions(migrated) == before


async def test_making_a_partition_waits_for_no_reader_or_writer(
    migrated: asyncpg.Connection, migrated_url: str
) -> None:
    other = await asyncpg.connect(migrated_url)
    async with other.transaction():
        await record(other, id_of(today()))
        await migrated.execute("SET lock_timeout = '100ms'")

        await make(migrated, today() + 5 * DAY)

    await record(other, id_of(today() + 5 * DAY))
    await other.close()


async def test_two_workers_at_once_make_each_partition_once(
    migrated: asyncpg.Connection, migrated_url: str
) -> None:
    other = await asyncpg.connect(migrated_url)
    both = await asyncio.gather(*(make(one, today() + 9 * DAY) for one in (migrated, other)))
    await other.close()

    assert set(both) == {today() + 10 * DAY}


async def test_days_before_the_given_one_are_dropped(migrated: asyncpg.Connection) -> None:
    await record(migrated, *[id_of(today() - n * DAY) for n in range(3)])

    assert await drop(migrated, today() - DAY) == 1

    assert (await partitions(migrated))[0] == named(today() - DAY)[0]
    assert await migrated.fetchval("SELECT count(*) FROM booking.outcomes") == 2
    with pytest.raises(asyncpg.CheckViolationError):
        await record(migrated, id_of(today() - 2 * DAY))


@pytest.mark.parametrize("days", [0, 1, 1_000])
async def test_today_and_yesterday_are_never_dropped(
    migrated: asyncpg.Connection, days: int
) -> None:
    before = await partitions(migrated)
    with pytest.raises(asyncpg.InvalidParameterValueError):
        await drop(migrated, today() + days * DAY)

    assert await partitions(migrated) == before


async def test_a_drop_that_meets_a_lock_fails_at_once(
    migrated: asyncpg.Connection, migrated_url: str
) -> None:
    """All other sessions would queue behind one that waits for this lock."""
    other = await asyncpg.connect(migrated_url)
    async with other.transaction():
        await other.fetch("SELECT FROM booking.outcomes")
        async with asyncio.timeout(0.5):
            with pytest.raises(asyncpg.LockNotAvailableError):
                await drop(migrated, today() - DAY)
    await other.close()

    assert await drop(migrated, today() - DAY) == 1


async def test_the_partition_of_the_migrated_table_is_dropped_with_its_last_day(
    empty_url: str,
) -> None:
    await upgrade(empty_url, "0001")
    connection = await asyncpg.connect(empty_url)
    await record(connection, id_of(today() - 40 * DAY))
    await upgrade(empty_url, "0002")

    try:
        assert await drop(connection, today() - DAY) == 0
        assert await connection.fetchval("SELECT count(*) FROM booking.outcomes") == 1
    finally:
        await connection.close()
