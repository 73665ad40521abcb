"""The window of a command ID, as a worker keeps it: places for outcomes come and go by the day."""

import asyncio
import functools
import json
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.builders import COMMAND_WINDOW, RULES, id_made_at, release_cart, reserve
from tests.databases import copy_of
from tests.worker.harness import Harness, decode, eventually, summary
from worker import committer as group_commit
from worker.apply import apply
from worker.committer import Committer
from worker.operations import partitions as keeping
from worker.operations.partitions import Partitions
from worker.storage.driver import transaction
from worker.storage.engine import create_engine
from worker.storage.statements import RECALL

DAY = timedelta(days=1)
GAUGE = "holdfast_outcome_partitions_ahead_days"


@pytest.fixture
async def own_engine(template_url: str) -> AsyncIterator[AsyncEngine]:
    """Of a database whose partitions a test may take away."""
    async with copy_of(template_url) as url:
        engine = create_engine(url, 8)
        yield engine
        await engine.dispose()


@pytest.fixture
async def own_harness(own_engine: AsyncEngine) -> Harness:
    return Harness(own_engine)


def partition(at: datetime) -> str:
    return f"outcomes_{at:%Y%m%d}"


async def existing(engine: AsyncEngine) -> list[str]:
    async with engine.connect() as connection:
        rows = await connection.execute(
            text("""
                SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
                WHERE inhparent = 'booking.outcomes'::regclass ORDER BY relname
            """)
        )
        return list(rows.scalars())


async def execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


def days_in_metrics() -> int:
    lines = generate_latest().decode().splitlines()
    (line,) = [line for line in lines if line.startswith(f"{GAUGE} ")]
    return int(float(line.split()[1]))


# --- made ahead, dropped past retention -----------------------------------------------------


async def test_four_days_are_ready_and_the_metrics_say_so(own_engine: AsyncEngine) -> None:
    now = datetime.now(UTC)
    await execute(own_engine, f"DROP TABLE booking.{partition(now + 4 * DAY)}")
    partitions = Partitions(own_engine, RULES.retention)

    await partitions.create_missing()

    assert (await existing(own_engine))[-1] == partition(now + 4 * DAY)
    assert days_in_metrics() == 4


async def test_the_count_of_days_falls_by_itself(
    own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the task that should make more has died."""
    partitions = Partitions(own_engine, RULES.retention)
    assert days_in_metrics() == 0
    await partitions.create_missing()

    in_two_days = datetime.now(UTC).date() + 2 * DAY
    monkeypatch.setattr(keeping, "_today", lambda: in_two_days)

    assert days_in_metrics() == 2


async def test_a_day_is_dropped_when_its_last_id_is_past_retention(own_engine: AsyncEngine) -> None:
    """The window and a day: an outcome is on record longer than its ID is accepted."""
    now = datetime.now(UTC)
    kept = Partitions(own_engine, COMMAND_WINDOW + DAY)
    assert await kept.drop() == 0
    assert (await existing(own_engine))[0] == partition(now - 2 * DAY)

    assert await Partitions(own_engine, timedelta(minutes=1) + DAY).drop() == 1
    assert (await existing(own_engine))[0] == partition(now - DAY)


async def test_a_worker_with_a_wrong_clock_makes_and_drops_nothing(
    own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres has a clock, too, and both must agree."""
    before = await existing(own_engine)

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return datetime.now(tz) + 20 * DAY

    monkeypatch.setattr(keeping, "datetime", Ahead)
    partitions = Partitions(own_engine, RULES.retention)

    for step in (partitions.create_missing, partitions.drop):
        with pytest.raises(DBAPIError):
            await step()
    assert await existing(own_engine) == before


async def test_several_workers_at_once_make_each_day_once(own_engine: AsyncEngine) -> None:
    for days in (3, 4):
        await execute(own_engine, f"DROP TABLE booking.{partition(datetime.now(UTC) + days * DAY)}")
    workers = [Partitions(own_engine, RULES.retention) for _ in range(4)]

    await asyncio.gather(*(worker.create_missing() for worker in workers))

    assert [worker.days_ahead for worker in workers] == [4] * 4


async def test_it_goes_on_after_a_fault_and_logs_when_days_run_out(
    own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(keeping, "RETRY_SECONDS", 0.02)
    now = datetime.now(UTC)
    await execute(own_engine, f"DROP TABLE booking.{partition(now + 4 * DAY)}")
    rename = "ALTER FUNCTION booking.{} RENAME TO {}"
    await execute(own_engine, rename.format("make_outcome_partitions", "away"))
    partitions = Partitions(own_engine, RULES.retention)
    task = asyncio.create_task(partitions.run())

    async def alarmed() -> bool:
        return any(record.levelno == logging.ERROR for record in caplog.records)

    async def made() -> bool:
        return partitions.days_ahead == 4

    await eventually(alarmed)
    await execute(own_engine, rename.format("away", "make_outcome_partitions"))
    await eventually(made)
    task.cancel()


async def test_no_session_waits_for_a_drop_that_cannot_get_its_lock(
    own_harness: Harness, own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keeping, "DROP_TRIES", 20)
    monkeypatch.setattr(keeping, "DROP_PAUSE_SECONDS", 0.01)
    tickets, users = await own_harness.ticket_type(), await own_harness.users(50)
    partitions = Partitions(own_engine, timedelta(minutes=1) + DAY)

    async with own_engine.connect() as reader:
        await reader.execute(text("SELECT FROM booking.outcomes LIMIT 1"))
        dropping = asyncio.create_task(partitions.drop())
        slowest_seconds = 0.0
        for user in users:
            began = asyncio.get_running_loop().time()
            await own_harness.apply(reserve(user, {tickets: 1}))
            slowest_seconds = max(slowest_seconds, asyncio.get_running_loop().time() - began)
        assert await dropping == 0

    assert slowest_seconds < 1, "a reservation waited"
    assert await partitions.drop() == 1


async def test_a_drop_finds_its_moment_between_reservations(
    own_harness: Harness, own_engine: AsyncEngine
) -> None:
    tickets, users = await own_harness.ticket_type(total=1_000), await own_harness.users(10)
    partitions = Partitions(own_engine, timedelta(minutes=1) + DAY)
    stopped = asyncio.Event()

    async def buy(user: str) -> int:
        count = 0
        while not stopped.is_set():
            await own_harness.apply(reserve(user, {tickets: 1}))
            count += 1
            await asyncio.sleep(0.01)
        return count

    buyers = [asyncio.create_task(buy(user)) for user in users[:2]]
    assert await partitions.drop() == 1
    stopped.set()
    assert min(await asyncio.gather(*buyers)) >= 0


# --- commands without a place ---------------------------------------------------------------


async def test_a_stale_command_is_recorded_while_its_day_is_kept(harness: Harness) -> None:
    stale = release_cart(
        await harness.user(), command_id=id_made_at(datetime.now(UTC) - COMMAND_WINDOW - DAY / 24)
    )

    assert summary(await harness.apply(stale)) == ["stale_command"]
    assert len(await harness.recorded(stale)) == 1


async def test_a_command_past_retention_is_stale_and_affects_no_other(
    harness: Harness, committer: Committer
) -> None:
    """Its refusal has no place on record, and needs none: it will always be the same."""
    tickets, (ann, bob) = await harness.ticket_type(), await harness.users(2)
    old = reserve(ann, {tickets: 1}, command_id=id_made_at(datetime.now(UTC) - 30 * DAY))
    commands = [old, reserve(bob, {tickets: 1}), old]

    outcomes = await committer.submit(commands)

    assert summary(map(decode, outcomes)) == [
        "stale_command",
        "succeeded",
        "stale_command",
    ]
    assert summary(map(decode, await committer.submit([old]))) == ["stale_command"]
    assert await harness.recorded(old) == []
    assert await harness.held(tickets) == 1


@pytest.fixture
async def own_committer(own_engine: AsyncEngine) -> AsyncIterator[Committer]:
    committer = Committer(functools.partial(apply, own_engine, RULES))
    committer.start()
    yield committer
    await committer.stop()


@pytest.mark.parametrize("ahead", [timedelta(hours=-20), 8 * DAY])
async def test_a_command_without_a_place_is_set_aside_alone(
    own_harness: Harness, own_committer: Committer, own_engine: AsyncEngine, ahead: timedelta
) -> None:
    """As where two clocks differ: neither stale nor ahead, and the schema refuses it."""
    at = datetime.now(UTC) + ahead
    if ahead < timedelta(0):
        at = min(at, datetime.now(UTC).replace(hour=0, minute=0, second=0) - timedelta(seconds=1))
        await execute(own_engine, f"DROP TABLE booking.{partition(at)}")
    tickets, users = await own_harness.ticket_type(), await own_harness.users(9)
    commands = [reserve(user, {tickets: 1}) for user in users]
    commands[4] = homeless = reserve(users[4], {tickets: 1}, command_id=id_made_at(at))

    async with asyncio.timeout(5):
        outcomes = await own_committer.submit(commands)

    codes = summary(map(decode, outcomes))
    assert codes.pop(4) == "unprocessable"
    assert set(codes) == {"succeeded"}
    assert decode(outcomes[4]).decided_at is None
    assert await own_harness.recorded(homeless) == []
    assert await own_harness.held(tickets) == await own_harness.reserved(tickets) == 8


async def test_while_today_has_no_place_commands_are_kept_and_not_set_aside(
    own_harness: Harness, own_engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one by one for a fault that is nobody's; they are decided when there is one."""
    monkeypatch.setattr(group_commit, "LONGEST_PAUSE_SECONDS", 0.05)
    for name in await existing(own_engine):
        await execute(own_engine, f"DROP TABLE booking.{name}")
    rename = "ALTER FUNCTION booking.{} RENAME TO {}"
    await execute(own_engine, rename.format("make_outcome_partitions", "away"))
    partitions = Partitions(own_engine, RULES.retention)
    committer = Committer(
        functools.partial(apply, own_engine, RULES, require_partition=partitions.require_partition)
    )
    committer.start()
    tickets, users = await own_harness.ticket_type(), await own_harness.users(3)

    decided = committer.submit([reserve(user, {tickets: 1}) for user in users])
    done, _ = await asyncio.wait([decided], timeout=0.5)
    assert not done
    await execute(own_engine, rename.format("away", "make_outcome_partitions"))

    async with asyncio.timeout(5):
        assert set(summary(map(decode, await decided))) == {"succeeded"}
    await committer.stop()


# --- what it costs --------------------------------------------------------------------------


async def test_a_recall_looks_into_the_days_of_its_commands_only(
    harness: Harness, engine: AsyncEngine
) -> None:
    """Else it would look for each ID in each partition: ANY with a parameter picks none."""
    commands = [release_cart(await harness.user()) for _ in range(3)]
    await harness.apply(*commands)
    ids = sorted(command.command_id for command in commands)

    async with transaction(engine) as driver:
        await driver.execute(f"PREPARE recalling AS {RECALL}")
        array = "{" + ",".join(ids) + "}"
        explained = await driver.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE recalling ('{array}', '{ids[0]}', '{ids[-1]}')"
        )
        await driver.execute("DEALLOCATE recalling")

    document = explained if isinstance(explained, str) else json.dumps(explained)
    scans = [node for node in nodes(json.loads(document)[0]["Plan"]) if "Relation Name" in node]
    assert [scan["Relation Name"] for scan in scans] == [partition(datetime.now(UTC))]
    assert "Index Cond" in scans[0]
    assert scans[0]["Actual Rows"] == 3


def nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(below for child in node.get("Plans", []) for below in nodes(child))]
