"""The isolated process reads and decides suspects in forks, and lives on when they die."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from shared.messages import encode_commands
from shared.outcomes import decode_outcome
from tests.builders import release_cart
from tests.worker import dies_on_command
from tests.worker.dies_on_command import DIES_DECIDING, DIES_READING, HANGS_DECIDING
from tests.worker.harness import Harness
from worker import isolation as isolated
from worker.isolation import IsolatedProcess
from worker.messaging.reading import DeadLetter
from worker.poison_messages import (
    DEADLY,
    PoisonSuspects,
)
from worker.telemetry import DECIDED, DUPLICATES


@pytest.fixture
async def isolation(
    database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[IsolatedProcess]:
    monkeypatch.setenv("HOLDFAST_DATABASE_URL", database_url)
    monkeypatch.setenv("HOLDFAST_BROKER_URL", broker_url)
    monkeypatch.setattr(isolated, "COMMAND", dies_on_command.ISOLATED)
    isolation = IsolatedProcess()
    yield isolation
    await isolation.stop()


async def test_an_isolated_process_decides_and_survives_the_deaths_of_its_forks(
    harness: Harness, isolation: IsolatedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, deadly = [release_cart(user) for user in await harness.users(2)]
    monkeypatch.setenv(DIES_DECIDING, deadly.user_id)
    bodies = [encode_commands([one]) for one in (good, deadly)]

    assert await isolation.decide(bodies) is None
    answers = await isolation.decide([bodies[0], b"no JSON"])
    refused = await isolation.refuse(bodies[1])

    assert answers is not None
    assert await harness.recorded(good) == [answers[0][0].document]
    assert answers[1][0].dead_letter is not None
    assert refused is not None
    assert decode_outcome(refused[0].document).refusal == DEADLY
    assert await harness.recorded(deadly) == [refused[0].document]
    assert await isolation.split(encode_commands([good, deadly])) == [bodies[0], bodies[1]]


async def test_a_command_that_ends_each_process_that_reads_it_is_refused_by_its_envelope(
    harness: Harness, isolation: IsolatedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadly = release_cart(await harness.user())
    monkeypatch.setenv(DIES_READING, deadly.user_id)
    body = encode_commands([deadly])
    suspects = PoisonSuspects(isolation)

    assert await isolation.refuse(body) is None
    first, again = await suspects.decide([body]), await suspects.decide([body])

    assert first == again
    ((answer,),) = first
    outcome = decode_outcome(answer.document)
    assert (outcome.command_id, outcome.kind) == (deadly.command_id, deadly.kind)
    assert (outcome.submitted_at, outcome.refusal) == (deadly.submitted_at, DEADLY)
    assert await harness.recorded(deadly) == [answer.document]
    assert answer.dead_letter == DeadLetter(body, "unprocessable", answer.document)
    monkeypatch.delenv(DIES_READING)
    await isolation.stop()
    assert await isolation.decide([body]) == first  # and once it can be read


async def test_a_worker_counts_what_its_isolated_process_decided(
    harness: Harness, isolation: IsolatedProcess
) -> None:
    good, refused = [release_cart(user) for user in await harness.users(2)]
    decided = DECIDED.labels("release_cart", "succeeded", "")
    not_decided = DECIDED.labels("release_cart", "refused", "unprocessable")

    def counts() -> list[float]:
        counters = (decided, not_decided, DUPLICATES)
        return [metric.samples[0].value for one in counters for metric in one.collect()]

    before = counts()
    for body in [encode_commands([good])] * 2:
        await isolation.decide([body])
    await isolation.refuse(encode_commands([refused]))

    assert [after - value for after, value in zip(counts(), before, strict=True)] == [1, 1, 1]


async def test_a_fork_that_is_silent_is_ended(
    harness: Harness, isolation: IsolatedProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It computes without end. One that waits for Postgres sends heartbeats."""
    command = release_cart(await harness.user())
    monkeypatch.setenv(HANGS_DECIDING, command.user_id)

    async with asyncio.timeout(30):
        assert await isolation.decide([encode_commands([command])]) is None


async def test_an_isolated_process_that_is_killed_is_replaced(
    harness: Harness, isolation: IsolatedProcess
) -> None:
    body = encode_commands([release_cart(await harness.user())])
    assert await isolation.split(body) == [body]
    server = isolation._fork_server
    assert server is not None

    server.kill()

    assert await isolation.decide([body]) is None
    assert await isolation.decide([body]) is not None


async def test_an_isolated_process_that_does_not_start_is_started_again(
    monkeypatch: pytest.MonkeyPatch, isolation: IsolatedProcess
) -> None:
    monkeypatch.setattr(isolated, "PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(isolated, "COMMAND", ["false"])
    splitting = asyncio.ensure_future(isolation.split(b"[1]"))
    await asyncio.sleep(0.2)
    assert not splitting.done()

    monkeypatch.setattr(isolated, "COMMAND", dies_on_command.ISOLATED)

    assert await splitting == [b"[1]"]
