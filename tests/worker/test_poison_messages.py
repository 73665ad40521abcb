"""Messages that end workers: each of their commands gets an outcome, and the worker lives on."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from aiormq import Channel
from faststream.rabbit import RabbitBroker

from shared import topology
from shared.commands import Command
from shared.ids import new_id
from shared.messages import encode_commands
from shared.outcomes import decode_outcome
from tests.builders import id_made_at, release_cart, reserve
from tests.deployment import Deployment
from tests.worker.dies_on_command import DIES_DECIDING, DIES_READING
from tests.worker.harness import Harness, decode, eventually
from tests.worker.queue_client import QueueClient
from worker.committer import Committer
from worker.messaging.consumer import Consumer
from worker.messaging.library_patches import Delivery
from worker.messaging.reading import Answer, DeadLetter
from worker.messaging.replies import ReplySender
from worker.poison_messages import (
    DEADLY,
    MAX_TRIES_ALONE,
    MIN_SUSPECT_REDELIVERIES,
    PoisonSuspects,
    refuse_message,
    refuse_unread_message,
    split_message,
)

MOST_DEATHS = MIN_SUSPECT_REDELIVERIES + 1
"""Of a worker, until its messages are suspects."""
SOMEBODY = new_id()


# --- a worker that dies each time -----------------------------------------------------------


@pytest.fixture
async def deployment(database_url: str, broker_url: str) -> AsyncIterator[Deployment]:
    async with Deployment(database_url, broker_url) as deployment:
        yield deployment


class Run:
    """Messages handed to a worker that dies of some users' commands, and what came of them."""

    def __init__(self, deployment: Deployment, client: QueueClient) -> None:
        self.client = client
        self._deployment = deployment
        self.deaths = 0
        self.answers: list[list[dict[str, Any]]] = []

    async def decide(self, messages: Sequence[Sequence[Command]], **environment: str) -> None:
        worker = self._deployment.add(
            "tests.worker.dies_on_command", self._deployment.workers, **environment
        )
        await worker.start()
        await (await self.client.channel.get_queue(topology.DEAD_QUEUE)).purge()
        sent = [await self.client.publish(message) for message in messages]

        async def is_done() -> bool:
            if not worker.is_running:
                self.deaths += 1
                assert self.deaths <= MOST_DEATHS
                await worker.launch()
            return {one.correlation_id for one in self.client.replies} >= {*sent}

        await eventually(is_done, within_seconds=120, every_seconds=0.05)
        self.answers = [await self._answer_to(one) for one in sent]
        assert await eventually(self._queue_is_empty)
        assert await worker.stop() == 0

    async def _queue_is_empty(self) -> bool:
        return not await self.client.ready_messages()

    async def _answer_to(self, correlation_id: str) -> list[dict[str, Any]]:
        """The answer to a message, the same before a death and after it."""
        replies = self.client.replies
        bodies = {one.body for one in replies if one.correlation_id == correlation_id}
        assert len(bodies) == 1
        answer: list[dict[str, Any]] = json.loads(bodies.pop())
        return answer

    def codes(self) -> list[str | None]:
        return [(one["refusal"] or {}).get("code") for answer in self.answers for one in answer]


@pytest.fixture
async def run(deployment: Deployment, broker_url: str) -> AsyncIterator[Run]:
    async with QueueClient.connected(broker_url) as client:
        yield Run(deployment, client)


def in_messages(commands: list[Command]) -> list[list[Command]]:
    """Forty commands: fifteen messages of one, one of ten, fifteen of one."""
    singly = [[one] for one in commands]
    return [*singly[:15], commands[15:25], *singly[25:]]


async def test_a_command_that_ends_the_worker_when_decided_is_refused_alone(
    harness: Harness, run: Run
) -> None:
    tickets, users = await harness.ticket_type(total=1_000), await harness.users(40)
    commands: list[Command] = [reserve(user, {tickets: 1}) for user in users]
    deadly = commands[20]

    await run.decide(in_messages(commands), **{DIES_DECIDING: deadly.user_id})

    codes = run.codes()
    assert codes.pop(20) == "unprocessable"
    assert Counter(codes) == {None: 39}
    assert await harness.held(tickets) == await harness.reserved(tickets) == 39
    (letter,) = await run.client.dead_letters(1)
    assert letter.body == encode_commands([deadly])
    assert await harness.recorded(deadly) == [letter.headers[topology.ERROR_HEADER]]
    assert await run.client.no_more_dead_letters()


async def test_a_command_that_ends_the_worker_when_read_is_refused_alone(
    harness: Harness, run: Run
) -> None:
    tickets, users = await harness.ticket_type(total=1_000), await harness.users(40)
    commands: list[Command] = [reserve(user, {tickets: 1}) for user in users]
    deadly = commands[20]

    await run.decide(in_messages(commands), **{DIES_READING: deadly.user_id})

    codes = run.codes()
    assert codes.pop(20) == "unprocessable"
    assert Counter(codes) == {None: 39}
    assert await harness.held(tickets) == await harness.reserved(tickets) == 39
    (letter,) = await run.client.dead_letters(1)
    assert letter.body == encode_commands([deadly])
    assert letter.headers[topology.REASON_HEADER] == "unprocessable"
    assert await harness.recorded(deadly) == [letter.headers[topology.ERROR_HEADER]]
    assert await run.client.no_more_dead_letters()


async def test_of_thirty_deadly_commands_at_once_each_is_refused(
    harness: Harness, run: Run
) -> None:
    tickets, users = await harness.ticket_type(total=1_000), await harness.users(40)
    commands: list[Command] = [reserve(user, {tickets: 1}) for user in users]

    await run.decide([[one] for one in commands], **{DIES_DECIDING: ",".join(users[:30])})

    assert run.codes() == ["unprocessable"] * 30 + [None] * 10
    assert len(await harness.recorded(*commands)) == 40
    letters = await run.client.dead_letters(30)
    assert {letter.body for letter in letters} == {encode_commands([one]) for one in commands[:30]}
    assert await run.client.no_more_dead_letters()


@pytest.mark.parametrize("header", ["a text", None, True, -1, 10**9])
async def test_a_delivery_count_from_the_publisher_does_no_harm(
    harness: Harness, deployment: Deployment, broker_url: str, header: object
) -> None:
    await deployment.start(gateways=0, workers=1)
    async with QueueClient.connected(broker_url) as client:
        headers = {topology.DELIVERY_COUNT_HEADER: header}
        (outcome,) = await client.ask([release_cart(await harness.user())], headers=headers)

    assert outcome["status"] == "succeeded"


# --- halving --------------------------------------------------------------------------------


class FakeIsolation:
    """Dies of messages that hold a deadly word, as often as told."""

    def __init__(self, **deaths: int) -> None:
        self._deaths = deaths
        self.decided: list[list[str]] = []
        self.dies_refusing = self.dies_splitting = self.dies_refusing_unread = False

    async def decide(self, bodies: Sequence[bytes]) -> list[list[Answer]] | None:
        texts = [body.decode() for body in bodies]
        self.decided.append(texts)
        deadly = [word for word in self._deaths if any(word in text for text in texts)]
        if any(self._deaths[word] for word in deadly):
            for word in deadly:
                self._deaths[word] -= 1
            return None
        return [[Answer(f"{word} done") for word in json.loads(text)] for text in texts]

    async def refuse(self, body: bytes) -> list[Answer] | None:
        return None if self.dies_refusing else [Answer(f"{json.loads(body)[0]} refused")]

    async def refuse_unread(self, body: bytes) -> list[Answer] | None:
        return None if self.dies_refusing_unread else [Answer("refused unread")]

    async def split(self, body: bytes) -> list[bytes] | None:
        return None if self.dies_splitting else split_message(body)


def message(*words: str) -> bytes:
    return json.dumps(words).encode()


async def documents_of(fake: FakeIsolation, *bodies: bytes) -> list[list[str]]:
    answers = await PoisonSuspects(fake).decide(bodies)
    return [[answer.document for answer in one] for one in answers]


async def test_suspects_that_do_no_harm_are_decided_together() -> None:
    fake = FakeIsolation()

    assert await documents_of(fake, message("a", "b"), message("c")) == [
        ["a done", "b done"],
        ["c done"],
    ]
    assert len(fake.decided) == 1


async def test_a_deadly_command_is_found_by_halving() -> None:
    fake = FakeIsolation(bad=1_000)
    bodies = [message("a"), message("b", "c", "bad", "d", "e"), message("f"), message("g")]

    assert await documents_of(fake, *bodies) == [
        ["a done"],
        ["b done", "c done", "bad refused", "d done", "e done"],
        ["f done"],
        ["g done"],
    ]
    assert fake.decided.count(['["bad"]']) == MAX_TRIES_ALONE


async def test_a_command_whose_process_was_killed_by_chance_is_decided() -> None:
    fake = FakeIsolation(a=MAX_TRIES_ALONE - 1)

    assert await documents_of(fake, message("a")) == [["a done"]]


async def test_a_message_that_cannot_even_be_refused_or_split_is_dead_lettered_whole() -> None:
    for faults in (("dies_refusing", "dies_refusing_unread"), ("dies_splitting",)):
        fake = FakeIsolation(bad=1_000)
        for fault in faults:
            setattr(fake, fault, True)

        ((answer,),) = await PoisonSuspects(fake).decide([message("bad")])

        outcome = decode_outcome(answer.document)
        assert (outcome.command_id, outcome.refusal) == (None, DEADLY)
        assert answer.dead_letter is not None
        assert answer.dead_letter.body == message("bad")


async def test_a_command_with_an_outcome_keeps_it_when_it_is_to_be_refused(
    harness: Harness, committer: Committer
) -> None:
    """The process died after the commit."""
    command = release_cart(await harness.user())
    (outcome,) = await committer.submit([command])

    (answer,) = await refuse_message(committer.refuse, encode_commands([command]))

    assert answer == Answer(outcome.document)
    assert decode(outcome).status == "succeeded"


async def test_a_command_that_cannot_be_read_does_not_change_what_is_recorded_under_its_id(
    harness: Harness, committer: Committer
) -> None:
    """The outcome may be that of another command: the message is set aside for an operator."""
    command = release_cart(await harness.user())
    (outcome,) = await committer.submit([command])
    body = encode_commands([command])

    (answer,) = await refuse_unread_message(committer.refuse, body)

    assert decode_outcome(answer.document).command_id is None
    assert answer.dead_letter == DeadLetter(body, "unreadable", DEADLY.detail)
    assert await harness.recorded(command) == [outcome.document]


@pytest.mark.parametrize(
    "change",
    [
        {"command_id": "no ID"},
        {"command_id": id_made_at(datetime.now(UTC) + timedelta(hours=1))},
        {"user_id": None},
        {"kind": "unknown"},
    ],
)
async def test_nothing_is_recorded_for_a_command_without_a_whole_envelope(
    committer: Committer, change: dict[str, Any]
) -> None:
    (fields,) = json.loads(encode_commands([release_cart(SOMEBODY)]))
    body = json.dumps([fields | change]).encode()

    (answer,) = await refuse_unread_message(committer.refuse, body)

    assert decode_outcome(answer.document).command_id is None
    assert answer.dead_letter == DeadLetter(body, "unreadable", DEADLY.detail)


@pytest.mark.parametrize(
    ("body", "parts"),
    [
        (b'[{"a": 1}, [2, "]"],\n3 ]', [b'[{"a": 1}]', b'[[2, "]"]]', b"[3]"]),
        (b'[{"a": 1, "a": 2}, 3]', [b'[{"a": 1, "a": 2}]', b"[3]"]),
        (b'["\\ud800", 1]', [b'["\\ud800"]', b"[1]"]),
        (b"[]", [b"[]"]),
        (b"[1,]", [b"[1,]"]),
        (b"{}", [b"{}"]),
        (b"\xff[1,2]", [b"\xff[1,2]"]),
    ],
)
def test_a_message_is_split_into_its_entries_as_they_are_written(
    body: bytes, parts: list[bytes]
) -> None:
    assert split_message(body) == parts


# --- what is not suspect --------------------------------------------------------------------


class NotingCommitter:
    """Notes what is handed in, and decides nothing."""

    def __init__(self) -> None:
        self.submitted: list[Sequence[Command]] = []

    def submit(self, commands: Sequence[Command]) -> "asyncio.Future[Any]":
        self.submitted.append(commands)
        return asyncio.get_running_loop().create_future()


def deliver(command: Command, redeliveries: int) -> Delivery:
    headers = {topology.DELIVERY_COUNT_HEADER: redeliveries}
    channel = cast("Channel", CHANNEL)
    return Delivery(channel, "tag", 1, encode_commands([command]), None, None, None, headers)


CHANNEL = object()


async def test_other_messages_wait_until_no_suspect_is_left() -> None:
    """One of them may end the worker, and the suspects would come back once more."""
    may_go_on, committer = asyncio.Event(), NotingCommitter()

    class Waiting(FakeIsolation):
        async def decide(self, bodies: Sequence[bytes]) -> list[list[Answer]] | None:
            await may_go_on.wait()
            return [[Answer("{}")] for _ in bodies]

    replies = ReplySender()
    consumer = Consumer(
        RabbitBroker(logger=None), cast("Committer", committer), replies, PoisonSuspects(Waiting())
    )
    before, suspect, after = [release_cart(SOMEBODY) for _ in range(3)]

    await consumer.handle(deliver(before, MIN_SUSPECT_REDELIVERIES - 1))
    await consumer.handle(deliver(suspect, MIN_SUSPECT_REDELIVERIES))
    await consumer.handle(deliver(after, 0))
    await asyncio.sleep(0.01)
    assert committer.submitted == [[before]]

    may_go_on.set()
    await eventually(is_true(lambda: len(committer.submitted) == 2))
    assert committer.submitted == [[before], [after]]


def is_true(probe: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def ask() -> bool:
        return probe()

    return ask
