"""A command that ends every worker is given up; what was in hand beside it is applied."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import topology
from shared.commands import Command
from shared.ids import new_id
from shared.messages import encode_commands
from tests.builders import a_book, release_cart, reserve
from tests.deployment import Deployment
from tests.worker.dies_on_command import POISON_VARIABLE
from tests.worker.harness import Harness, applied, decode, eventually
from tests.worker.queue_client import QueueClient
from worker import committer as group_commit
from worker import poison_messages
from worker.apply import AppliedBatch
from worker.committer import Committer
from worker.domain.batch import decide_batch
from worker.poison_messages import MAX_TRIES_ALONE
from worker.storage.solo_attempts import SoloAttempts

SOMEBODY = new_id()
MOST_DEATHS = 8
"""Five in company, three alone."""
COMMIT_SECONDS = 0.05
"""Long enough for a batch to meet another, if it may."""


# --- a worker that dies each time -----------------------------------------------------------


@pytest.fixture
async def deployment(database_url: str, broker_url: str) -> AsyncIterator[Deployment]:
    async with Deployment(database_url, broker_url) as deployment:
        yield deployment


async def test_what_ends_the_worker_each_time_is_given_up_alone(
    office: Harness, deployment: Deployment, broker_url: str
) -> None:
    """Fault 9: its outcome is `unprocessable`, and those in the same message and hand succeed."""
    tickets, users = await office.ticket_type(total=1_000), await office.users(40)
    poisoner = users[20]
    commands = [reserve(user, {tickets: 1}) for user in users]
    # Twenty messages of one command; ten, among them the deadly one; ten of one.
    messages = [
        *([one] for one in commands[:15]),
        commands[15:25],
        *([one] for one in commands[25:]),
    ]
    worker = deployment.add(
        "tests.worker.dies_on_command", deployment.workers, **{POISON_VARIABLE: poisoner}
    )
    await worker.start()

    async with QueueClient.connected(broker_url) as client:
        await (await client.channel.get_queue(topology.DEAD_QUEUE)).purge()
        sent = [await client.publish(message) for message in messages]
        deaths = 0
        while await client.ready_messages() or not await all_recorded(office, commands):
            if not worker.is_running:
                deaths += 1
                await worker.launch()
            await asyncio.sleep(0.05)
            assert deaths <= MOST_DEATHS

        answers = [json.loads(answer) for one in sent for answer in await replies_to(client, one)]
        (letter,) = await client.dead_letters(1)
        by_id: dict[str, Any] = {}
        for outcome in (outcome for answer in answers for outcome in answer):
            # Answered before a death and after it: the same.
            assert by_id.setdefault(outcome["command_id"], outcome) == outcome
        codes = {id: (one["refusal"] or {}).get("code") for id, one in by_id.items()}
        deadly = commands[20]
        assert codes.pop(deadly.command_id) == "unprocessable"
        assert Counter(codes.values()) == {None: 39}
        assert await office.held(tickets) == await office.reserved(tickets) == 39
        assert letter.body == encode_commands([deadly])
        assert await office.recorded(deadly) == [letter.headers[topology.ERROR_HEADER]]
        assert await client.no_more_dead_letters()
    assert await worker.stop() == 0


async def replies_to(client: QueueClient, correlation_id: str) -> list[str]:
    """At least one; another where the worker died before it could acknowledge."""

    async def bodies() -> list[str]:
        return [one.body for one in client.replies if one.correlation_id == correlation_id]

    return await eventually(bodies)


async def all_recorded(office: Harness, commands: Sequence[Command]) -> bool:
    return len(await office.recorded(*commands)) == len(commands)


# --- alone ----------------------------------------------------------------------------------


class Stage:
    """An `apply` that notes what is decided at the same time."""

    def __init__(self) -> None:
        self.running: list[list[Command]] = []
        self.together: list[list[list[Command]]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()

    async def __call__(
        self, commands: Sequence[Command], due_users: Sequence[str] = (), **options: Any
    ) -> AppliedBatch:
        batch = list(commands)
        self.running.append(batch)
        self.together.append([*self.running])
        await asyncio.sleep(COMMIT_SECONDS)
        await self.may_commit.wait()
        self.running.remove(batch)
        forced_refusal = options.get("forced_refusal")
        return applied(decide_batch(a_book(users=[SOMEBODY]), commands, {}, forced_refusal))


@pytest.fixture
async def stage() -> Stage:
    return Stage()


@pytest.fixture
async def staged(stage: Stage, engine: AsyncEngine) -> AsyncIterator[Committer]:
    committer = Committer(stage, SoloAttempts(engine))
    committer.start()
    yield committer
    await committer.stop()


def some(count: int) -> list[Command]:
    return [release_cart(SOMEBODY) for _ in range(count)]


async def test_nothing_is_decided_beside_a_suspect(stage: Stage, staged: Committer) -> None:
    """Else it could be blamed for what ended the worker."""
    stage.may_commit.clear()
    messages = [some(1) for _ in range(9)]
    suspect = messages[4]
    decided = []
    for message in messages:
        decided.append(staged.submit(message, suspect=message is suspect))
        await asyncio.sleep(0.01)
    stage.may_commit.set()
    await asyncio.gather(*decided)

    assert [suspect] in stage.together
    assert all(batches == [suspect] for batches in stage.together if suspect in batches)
    assert max(len(batches) for batches in stage.together) == group_commit.LANES


async def test_after_a_suspect_both_lanes_go_on(stage: Stage, staged: Committer) -> None:
    await staged.submit(some(1), suspect=True)
    stage.may_commit.clear()
    decided = [
        staged.submit(some(group_commit.MAX_BATCH_COMMANDS)) for _ in range(group_commit.LANES)
    ]

    async def all_lanes_are_busy() -> bool:
        return len(stage.running) == group_commit.LANES

    await eventually(all_lanes_are_busy)
    stage.may_commit.set()
    await asyncio.gather(*decided)


async def test_two_suspects_at_once_wait_for_each_other(stage: Stage, staged: Committer) -> None:
    async with asyncio.timeout(5):
        await asyncio.gather(*(staged.submit(some(1), suspect=True) for _ in range(20)))

    assert max(len(batches) for batches in stage.together) == 1


# --- tries ----------------------------------------------------------------------------------


async def test_a_suspect_is_tried_as_a_whole_and_then_command_by_command(
    stage: Stage, staged: Committer
) -> None:
    message = some(3)
    await staged.submit(message, suspect=True)
    await staged.submit(message, suspect=True)

    assert [batches[0] for batches in stage.together] == [message, *([one] for one in message)]


async def test_a_try_is_noted_before_it_is_made(
    stage: Stage, staged: Committer, engine: AsyncEngine
) -> None:
    (command,) = message = some(1)
    stage.may_commit.clear()
    decided = staged.submit(message, suspect=True)

    async def tried() -> bool:
        return bool(stage.running)

    await eventually(tried)
    assert await SoloAttempts(engine).earlier([command]) == [1]
    stage.may_commit.set()
    await decided


async def test_only_what_was_tried_alone_too_often_is_given_up(
    staged: Committer, engine: AsyncEngine
) -> None:
    message = some(3)
    trials = SoloAttempts(engine)
    await trials.note(message)
    for _ in range(MAX_TRIES_ALONE - 1):
        await trials.note(message[1:2])

    outcomes = [decode(one) for one in await staged.submit(message, suspect=True)]

    assert [outcome.status for outcome in outcomes] == ["succeeded", "refused", "succeeded"]
    assert outcomes[1].refusal == poison_messages.DEADLY


async def test_what_has_an_outcome_keeps_it_however_often_it_was_tried(
    office: Harness, committer: Committer, engine: AsyncEngine
) -> None:
    """It ended the worker after its commit, or another did."""
    (outcome,) = await committer.submit([command := release_cart(await office.user())])
    trials = SoloAttempts(engine)
    for _ in range(MAX_TRIES_ALONE):
        await trials.note([command])
    committer._trials = trials

    assert await committer.submit([command], suspect=True) == [outcome]


async def test_tries_that_cannot_be_noted_for_a_moment_are_waited_for(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(poison_messages, "PAUSE_SECONDS", 0.01)
    faults = iter([OSError(), OSError()])

    class Away:
        async def earlier(self, commands: Sequence[Command]) -> list[int]:
            if fault := next(faults, None):
                raise fault
            return [0] * len(commands)

        async def note(self, commands: Sequence[Command]) -> None:
            raise ValueError  # never passes: decided all the same

    committer = Committer(stage, Away())
    committer.start()
    (outcome,) = await committer.submit(some(1), suspect=True)
    await committer.stop()

    assert decode(outcome).status == "succeeded"
    assert next(faults, None) is None


@pytest.mark.parametrize("header", ["a text", None, True, -1, 10**9])
async def test_a_header_that_a_publisher_made_up_does_no_harm(
    office: Harness, deployment: Deployment, broker_url: str, header: object
) -> None:
    await deployment.start(gateways=0, workers=1)
    async with QueueClient.connected(broker_url) as client:
        headers = {topology.DELIVERY_COUNT_HEADER: header}
        (outcome,) = await client.ask([release_cart(await office.user())], headers=headers)

    assert outcome["status"] == "succeeded"
