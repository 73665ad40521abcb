"""Polling the read model for awaited outcomes."""

import asyncio
from dataclasses import replace

import pytest

from gateway.http.problems import ProblemError
from gateway.read_model.outcome_poller import OutcomePoller, OutcomeRow
from gateway.telemetry import Metrics
from shared.commands import ReleaseCart, unread_fingerprint
from shared.ids import new_id
from tests.builders import NOW

FINGERPRINT = b"of the recorded command"


class ReadModel:
    def __init__(self) -> None:
        self.rows: list[OutcomeRow] = []
        self.queries: list[list[str]] = []
        self.failure: Exception | None = None

    async def find(self, command_ids: list[str]) -> list[OutcomeRow]:
        self.queries.append(command_ids)
        if self.failure:
            raise self.failure
        return [row for row in self.rows if row.command_id in command_ids]

    def record(self, command_id: str, user_id: str) -> str:
        document = (
            f'{{"command_id":"{command_id}","submitted_at":"2024-06-01T12:00:00Z","refusal":null}}'
        )
        self.rows.append(OutcomeRow(command_id, user_id, document, FINGERPRINT))
        return document


@pytest.fixture
def read_model() -> ReadModel:
    return ReadModel()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def outcome_poller(read_model: ReadModel, metrics: Metrics) -> OutcomePoller:
    return OutcomePoller(read_model.find, metrics)


async def test_an_outcome_recorded_later_is_found(
    outcome_poller: OutcomePoller, read_model: ReadModel
):
    command_id, user_id = new_id(), new_id()
    waiting = asyncio.create_task(outcome_poller.wait_for(command_id, user_id, 5))
    await asyncio.sleep(0.02)
    document = read_model.record(command_id, user_id)
    decided = await asyncio.wait_for(waiting, 0.5)
    assert decided is not None
    assert decided.document == document


async def test_one_query_serves_all_waiters(outcome_poller: OutcomePoller, read_model: ReadModel):
    ids = [new_id() for _ in range(50)]
    await asyncio.gather(
        *(outcome_poller.wait_for(command_id, new_id(), 0.12) for command_id in ids)
    )
    assert len(read_model.queries) <= 4
    assert set(max(read_model.queries, key=len)) == set(ids)


async def test_another_users_outcome_is_not_shown(
    outcome_poller: OutcomePoller, read_model: ReadModel
):
    command_id = new_id()
    read_model.record(command_id, new_id())
    assert await outcome_poller.find_now(command_id, new_id()) is None
    assert await outcome_poller.wait_for(command_id, new_id(), 0.12) is None


async def test_a_reply_makes_it_poll_at_once(
    outcome_poller: OutcomePoller, read_model: ReadModel, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("gateway.read_model.outcome_poller.POLL_INTERVAL_SECONDS", 60)
    command_id, user_id = new_id(), new_id()
    waiting = asyncio.create_task(outcome_poller.wait_for(command_id, user_id, 5))
    await asyncio.sleep(0.02)
    read_model.record(command_id, user_id)
    outcome_poller.notify([new_id(), None, command_id])
    assert await asyncio.wait_for(waiting, 0.5) is not None


@pytest.mark.parametrize("failure", [ProblemError("database_unavailable"), ValueError("a bug")])
async def test_a_failing_database_is_polled_again(
    outcome_poller: OutcomePoller,
    read_model: ReadModel,
    monkeypatch: pytest.MonkeyPatch,
    failure: Exception,
):
    monkeypatch.setattr("gateway.read_model.outcome_poller.BACKOFF_SECONDS", 0.05)
    command_id, user_id = new_id(), new_id()
    read_model.failure = failure
    waiting = asyncio.create_task(outcome_poller.wait_for(command_id, user_id, 5))
    await asyncio.sleep(0.12)
    read_model.record(command_id, user_id)
    read_model.failure = None
    assert await asyncio.wait_for(waiting, 0.5) is not None


async def test_it_polls_only_while_there_are_waiters(
    outcome_poller: OutcomePoller, read_model: ReadModel, metrics: Metrics
):
    waiting = asyncio.create_task(outcome_poller.wait_for(new_id(), new_id(), 5))
    await asyncio.sleep(0.02)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0.1)
    before = len(read_model.queries)
    await asyncio.sleep(0.15)
    assert len(read_model.queries) == before
    assert metrics.registry.get_sample_value("holdfast_awaiting_outcome") == 0


async def test_closing_ends_every_wait(outcome_poller: OutcomePoller):
    waiting = asyncio.create_task(outcome_poller.wait_for(new_id(), new_id(), 30))
    await asyncio.sleep(0.02)
    outcome_poller.close()
    assert await asyncio.wait_for(waiting, 0.5) is None
    assert await asyncio.wait_for(outcome_poller.wait_for(new_id(), new_id(), 30), 0.5) is None


async def test_a_waiter_answered_by_the_reply_causes_no_query(
    outcome_poller: OutcomePoller, read_model: ReadModel
):
    replied, waits = new_id(), new_id()
    others = [asyncio.create_task(outcome_poller.wait_for(waits, new_id(), 0.3))]
    found: asyncio.Future = asyncio.get_running_loop().create_future()
    command = ReleaseCart(command_id=replied, user_id=new_id(), submitted_at=NOW)
    with outcome_poller.polling_for(command, found):
        await asyncio.sleep(0.01)
        found.set_result(None)
        queries = len(read_model.queries)
        for _ in range(20):
            outcome_poller.notify([replied])
            await asyncio.sleep(0)
        assert len(read_model.queries) == queries
        outcome_poller.notify([waits])
        await asyncio.sleep(0.02)
        assert len(read_model.queries) == queries + 1
    await asyncio.gather(*others)


async def test_a_slow_database_is_polled_less_often(read_model: ReadModel, metrics: Metrics):
    async def slow(command_ids: list[str]) -> list[OutcomeRow]:
        await asyncio.sleep(0.05)
        return await read_model.find(command_ids)

    outcome_poller = OutcomePoller(slow, metrics)
    waiting = []
    for _ in range(50):
        waiting.append(asyncio.create_task(outcome_poller.wait_for(new_id(), new_id(), 0.01)))
        await asyncio.sleep(0.01)
    await asyncio.gather(*waiting)
    assert len(read_model.queries) <= 4


async def test_the_outcome_of_a_command_that_could_not_be_read_is_found_under_each_fingerprint(
    outcome_poller: OutcomePoller, read_model: ReadModel
):
    command_id, user_id = new_id(), new_id()
    document = read_model.record(command_id, user_id)
    (row,) = read_model.rows
    read_model.rows = [replace(row, fingerprint=unread_fingerprint(user_id))]

    own = await outcome_poller.find_now(command_id, user_id, b"of the payload")
    other = await outcome_poller.find_now(command_id, new_id(), b"of the payload")

    assert own is not None
    assert own.document == document
    assert other is not None
    assert "command_id_reused" in other.document
