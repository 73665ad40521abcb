"""A worker on a real broker: it reads a message, decides, replies, acknowledges."""

import asyncio
import json
import re
import struct
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import aio_pika
import asyncpg
import httpx
import pytest
from aiormq.exceptions import ChannelPreconditionFailed
from faststream.asgi import AsgiFastStream
from faststream.rabbit import RabbitBroker, RabbitQueue
from pamqp import encode
from pamqp.commands import Basic
from sqlalchemy.ext.asyncio import AsyncEngine

from shared import topology
from shared.ids import id_at, new_id
from shared.messages import MAX_MESSAGE_BYTES, encode_commands
from shared.topology import HEARTBEAT_SECONDS
from tests.builders import LONG_AGO, change_ticket_type, create_event, release_cart, reserve
from tests.worker.harness import Harness, eventually
from tests.worker.queue_client import QueueClient
from tests.worker.test_one_command_that_fails import damaged_hold
from worker import telemetry
from worker.__main__ import create_app
from worker.deadletters import publish
from worker.messaging import replies
from worker.operations.health import health_routes
from worker.settings import Settings
from worker.storage.engine import create_engine


@pytest.fixture(scope="module")
async def worker(database_url: str, broker_url: str) -> AsyncIterator[AsgiFastStream]:
    """A worker in this process; one task starts and stops it."""
    app = create_app(Settings(database_url=database_url, broker_url=broker_url))
    started, stopping = asyncio.Event(), asyncio.Event()

    async def live() -> None:
        async with app.start_lifespan_context():
            started.set()
            await stopping.wait()

    life = asyncio.create_task(live())
    async with asyncio.timeout(10):
        await started.wait()
        while await status(app, "/health/ready") != 200:
            await asyncio.sleep(0.02)
    yield app
    stopping.set()
    await life


@pytest.fixture
async def client(worker: AsgiFastStream, broker_url: str) -> AsyncIterator[QueueClient]:
    async with QueueClient.connected(broker_url) as client:
        for queue in (topology.COMMANDS_QUEUE, topology.DEAD_QUEUE):
            await (await client.channel.get_queue(queue)).purge()
        yield client


async def get(app: object, path: str) -> httpx.Response:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://worker") as http:
        return await http.get(path)


async def status(app: object, path: str) -> int:
    return (await get(app, path)).status_code


async def handled(client: QueueClient) -> None:
    """Wait until everything that was published before has been handled."""
    await client.ask([release_cart(new_id())])

    async def nothing_waits() -> bool:
        return telemetry.UNACKED_MESSAGES._value.get() == 0

    await eventually(nothing_waits)


# --- replies --------------------------------------------------------------------------------


async def test_a_reply_holds_an_outcome_for_each_command_in_order(
    harness: Harness, client: QueueClient
) -> None:
    tickets, users = await harness.ticket_type(total=2), await harness.users(3)
    commands = [reserve(user, {tickets: 1}) for user in users]

    answer = await client.ask(commands)

    assert [one["command_id"] for one in answer] == [c.command_id for c in commands]
    assert [one["status"] for one in answer] == ["succeeded", "succeeded", "refused"]
    assert answer[2]["refusal"] == {
        "code": "insufficient_availability",
        "detail": "Fewer tickets are available than were asked for.",
        "ticket_type_id": tickets,
        "requested": 1,
        "available": 0,
    }


async def test_a_reply_says_that_it_is_json(harness: Harness, client: QueueClient) -> None:
    await client.ask([release_cart(await harness.user())])

    assert client.replies[-1].content_type == "application/json"


async def test_a_reply_is_sent_after_the_commit(harness: Harness, client: QueueClient) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(ann, {tickets: 1})

    async with harness.locked("ticket_types", tickets):
        correlation_id = await client.publish([command])
        await harness.waiting(1)
        with pytest.raises(TimeoutError):
            await client.reply_to(correlation_id, within_seconds=0.2)
        assert await harness.recorded(command) == []

    assert await client.reply_to(correlation_id) == f"[{(await harness.recorded(command))[0]}]"


async def test_a_duplicate_gets_exactly_the_recorded_outcome(
    harness: Harness, client: QueueClient
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(ann, {tickets: 1})

    sent = [await client.publish([command]) for _ in range(3)]
    sent.append(await client.publish([command, command]))
    first, *others, twice = [await client.reply_to(correlation_id) for correlation_id in sent]

    assert others == [first, first]
    assert twice == f"[{first[1:-1]},{first[1:-1]}]"
    assert await harness.held(tickets) == 1


async def test_a_message_without_reply_to_gets_no_reply(
    harness: Harness, client: QueueClient
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()

    await client.publish([reserve(ann, {tickets: 1})], reply_to=None, correlation_id=None)
    await handled(client)

    assert await harness.held(tickets) == 1
    assert len(client.replies) == 1


async def test_a_missing_reply_queue_delays_no_other_reply(
    harness: Harness, client: QueueClient
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()

    await client.publish([reserve(ann, {tickets: 1})], reply_to="holdfast.replies.gone")
    await handled(client)

    assert await harness.held(tickets) == 1
    assert await client.ready_messages() == 0


async def test_a_reply_that_could_not_be_sent_is_sent_after_the_next_delivery(
    harness: Harness, client: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish, faults = replies._publish, iter([TimeoutError()])

    async def publish_or_fail(*arguments: Any) -> None:
        for fault in faults:
            raise fault
        await publish(*arguments)

    monkeypatch.setattr(replies, "_publish", publish_or_fail)
    ann, tickets = await harness.user(), await harness.ticket_type()

    (outcome,) = await client.ask([reserve(ann, {tickets: 1})])

    assert outcome["status"] == "succeeded"
    assert await harness.held(tickets) == 1
    await handled(client)
    assert await client.ready_messages() == 0


async def test_a_reply_without_a_correlation_id_has_none(
    harness: Harness, client: QueueClient
) -> None:
    await client.publish([release_cart(await harness.user())], correlation_id=None)

    async def answered() -> bool:
        return bool(client.replies)

    await eventually(answered)
    assert client.replies[0].correlation_id is None


# --- dead letters ---------------------------------------------------------------------------

GOOD = release_cart("017f22e2-0000-7000-8000-000000000001")
BAD = {"kind": "reserve_tickets", "command_id": new_id(), "items": []}
UNREADABLE = {
    "no JSON": b"hello",
    "empty": b"",
    "no array": b"{}",
    "an empty array": b"[]",
    "too many": b"[" + b",".join([encode_commands([GOOD])[1:-1]] * 101) + b"]",
    "too long": b"[" + b" " * MAX_MESSAGE_BYTES + b"]",
    "an unknown kind": json.dumps([BAD | {"kind": "buy"}]).encode(),
    "a bad command": json.dumps([BAD]).encode(),
    "a deep one": b"[" * 100_000,
    "a long kind": json.dumps([BAD | {"kind": "x" * 200_000}]).encode(),
    "a long field": json.dumps([BAD | {"x" * 200_000: 1}]).encode(),
    "out of the calendar": json.dumps(
        [BAD | {"submitted_at": "0001-01-01T00:00:00+14:00"}]
    ).encode(),
}


@pytest.mark.parametrize("body", UNREADABLE.values(), ids=UNREADABLE)
async def test_unreadable_commands_are_dead_lettered_and_answered(
    client: QueueClient, body: bytes
) -> None:
    (outcome,) = await client.ask(body)
    (letter,) = await client.dead_letters(1)

    assert (outcome["status"], outcome["refusal"]["code"]) == ("refused", "unprocessable")
    assert (outcome["result"], outcome["decided_at"]) == (None, None)
    assert letter.headers["x-reason"] == "unreadable"
    assert letter.headers["x-error"]
    assert letter.headers["x-error"] in outcome["refusal"]["detail"]
    assert letter.correlation_id == client.replies[-1].correlation_id
    assert json.loads(letter.body) == json.loads(body) if body[:2] == b"[{" else letter.body == body
    await handled(client)
    assert await client.ready_messages() == 0


async def test_unreadable_commands_start_no_transaction(
    client: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []

    async def note(_: object, statement: str, *__: object) -> list[object]:
        sent.append(statement)
        raise AssertionError("the unit of work sent a statement")

    with monkeypatch.context() as patch:
        patch.setattr(asyncpg.Connection, "fetch", note)
        await client.ask(b"hello")
    assert sent == []
    assert len(await client.dead_letters(1)) == 1


SURROGATE = rb'{"kind": "create_event", "name": "\ud800"}'
REPEATED = rb'{"kind": "reserve_tickets", "items": [], "items": []}'


@pytest.mark.parametrize(
    "bad",
    [json.dumps(BAD).encode(), SURROGATE, REPEATED],
    ids=["invalid", "lone surrogate", "repeated member"],
)
async def test_good_commands_beside_a_bad_one_are_applied(
    harness: Harness, client: QueueClient, bad: bytes
) -> None:
    tickets, (ann, bob) = await harness.ticket_type(), await harness.users(2)
    commands = [reserve(ann, {tickets: 1}), reserve(bob, {tickets: 1})]
    first, last = (encode_commands([command])[1:-1] for command in commands)

    answer = await client.ask(b"[%b,%b,%b]" % (first, bad, last))
    (letter,) = await client.dead_letters(1)

    assert [one["status"] for one in answer] == ["succeeded", "refused", "succeeded"]
    assert answer[1]["kind"] == json.loads(bad)["kind"]
    assert letter.body == b"[%b]" % bad
    assert await harness.held(tickets) == 2


async def test_a_command_id_ahead_of_the_clock_is_dead_lettered(
    harness: Harness, client: QueueClient
) -> None:
    """Such a command could be applied a second time after its outcome is deleted."""
    ann, tickets = await harness.user(), await harness.ticket_type()
    ahead = id_at(4_000_000_000_000)

    (outcome,) = await client.ask([reserve(ann, {tickets: 1}, command_id=ahead)])
    (letter,) = await client.dead_letters(1)

    assert outcome["refusal"]["code"] == "unprocessable"
    assert outcome["command_id"] == ahead
    assert letter.headers["x-error"] == "command_id: lies ahead of the clock"
    assert await harness.held(tickets) == 0


async def test_a_command_that_cannot_be_applied_is_dead_lettered(
    harness: Harness, client: QueueClient
) -> None:
    bad = release_cart(await damaged_hold(harness))

    (outcome,) = await client.ask([bad])
    (letter,) = await client.dead_letters(1)

    assert outcome["refusal"]["code"] == "unprocessable"
    assert letter.headers["x-reason"] == "unprocessable"
    assert letter.body == encode_commands([bad])
    assert await harness.recorded(bad) == [letter.headers["x-error"]]


async def test_a_command_that_a_rule_refuses_is_not_dead_lettered(
    harness: Harness, client: QueueClient
) -> None:
    """Not even with the code `unprocessable`: an organizer's mistake needs no operator."""
    tickets = await harness.ticket_type()
    bad = change_ticket_type(harness.organizer, tickets, sale_ends_at=LONG_AGO - timedelta(days=1))

    (outcome,) = await client.ask([bad])

    assert outcome["refusal"]["code"] == "unprocessable"
    assert await client.no_more_dead_letters()


@pytest.mark.parametrize(
    ("name", "value"),
    [("timestamp", 1_790_000_000_000_000), ("correlation_id", b"\xff"), ("app_id", b"\xff")],
)
async def test_unreadable_properties_are_dead_lettered_and_close_no_connection(
    harness: Harness,
    client: QueueClient,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: int | bytes,
) -> None:
    """Clients in other languages may send them; aio-pika refuses to."""
    body = encode_commands([release_cart(await harness.user())])
    underlay = await client.channel.get_underlay_channel()
    with monkeypatch.context() as patch:
        patch.setitem(encode.METHODS, "timestamp", lambda stamp: struct.pack(">Q", stamp))
        patch.setitem(encode.METHODS, "shortstr", any_short_string)
        patch.setattr(Basic.Properties, "validate", lambda self: None)
        for _ in range(2):  # the first on a channel comes another way
            await underlay.basic_publish(
                body,
                exchange=topology.COMMANDS_EXCHANGE,
                routing_key=topology.COMMANDS_ROUTING_KEY,
                properties=Basic.Properties(**{name: value}),
            )

    letters = await client.dead_letters(2)

    assert [letter.body for letter in letters] == [body] * 2
    assert letters[0].headers["x-error"] == "properties: cannot be read"
    (outcome,) = await client.ask([release_cart(await harness.user())])
    assert outcome["status"] == "succeeded"
    assert await client.no_more_dead_letters()


def any_short_string(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode()
    return struct.pack("B", len(data)) + data


async def test_a_name_that_looks_like_a_refusal_is_not_dead_lettered(
    harness: Harness, client: QueueClient
) -> None:
    name = '"code":"unprocessable"'

    (outcome,) = await client.ask([create_event(await harness.user(), name=name)])

    assert outcome["result"]["event"]["name"] == name
    assert await client.no_more_dead_letters()


async def test_a_dead_letter_is_persistent(client: QueueClient) -> None:
    await client.ask(b"hello")
    (letter,) = await client.dead_letters(1)

    assert letter.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert letter.message_id


async def test_a_message_is_kept_until_its_dead_letter_is_confirmed(
    client: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message that needs a dead letter stays unacknowledged while none can be published."""
    monkeypatch.setattr(publish, "PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(publish, "declare_dead_letters", None)  # it would bind it again
    dead = await client.channel.get_queue(topology.DEAD_QUEUE)
    await dead.unbind(topology.DEAD_EXCHANGE, topology.DEAD_ROUTING_KEY)
    try:
        correlation_id = await client.publish(b"hello")
        with pytest.raises(TimeoutError):
            await client.reply_to(correlation_id, within_seconds=0.5)
    finally:
        await dead.bind(topology.DEAD_EXCHANGE, topology.DEAD_ROUTING_KEY)

    await client.reply_to(correlation_id)
    assert len(await client.dead_letters(1)) == 1
    assert await client.no_more_dead_letters()


async def test_dead_letters_that_were_deleted_are_declared_again(
    client: QueueClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish, "PAUSE_SECONDS", 0.05)
    await client.channel.queue_delete(topology.DEAD_QUEUE)

    await client.ask(b"hello")

    assert len(await client.dead_letters(1)) == 1


# --- what is declared -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("queue", "arguments"),
    [
        (topology.COMMANDS_QUEUE, topology.COMMANDS_ARGUMENTS),
        (topology.DEAD_QUEUE, topology.DEAD_ARGUMENTS),
    ],
)
async def test_a_queue_is_declared_with_the_arguments_of_the_topology(
    client: QueueClient, queue: str, arguments: dict[str, str | int]
) -> None:
    async with await client.connection.channel() as channel:
        await channel.declare_queue(queue, durable=True, arguments=dict(arguments))

    for name in arguments:
        channel = await client.connection.channel()
        other = {key: value for key, value in arguments.items() if key != name}
        with pytest.raises(ChannelPreconditionFailed):
            await channel.declare_queue(queue, durable=True, arguments=other)


@pytest.mark.parametrize("exchange", [topology.COMMANDS_EXCHANGE, topology.DEAD_EXCHANGE])
async def test_an_exchange_is_direct_and_durable(client: QueueClient, exchange: str) -> None:
    async with await client.connection.channel() as channel:
        await channel.declare_exchange(exchange, aio_pika.ExchangeType.DIRECT, durable=True)


# --- health and metrics ---------------------------------------------------------------------


async def test_a_worker_with_postgres_and_rabbitmq_is_ready(worker: AsgiFastStream) -> None:
    assert (await get(worker, "/health/live")).json() == {"status": "live"}
    assert (await get(worker, "/health/ready")).json() == {
        "status": "ready",
        "postgres": True,
        "rabbitmq": True,
    }


async def test_the_connection_has_a_heartbeat(worker: AsgiFastStream) -> None:
    """Without one a half-open connection is noticed after minutes only."""
    underlay = worker.broker._connection.transport.connection
    assert underlay.connection_tune.heartbeat == HEARTBEAT_SECONDS


async def test_a_queue_without_a_consumer_is_not_ready(
    worker: AsgiFastStream, engine: AsyncEngine, broker_url: str
) -> None:
    """The vhost has the queue, and this broker object has no subscriber."""
    ready = dict(health_routes(engine, broker := RabbitBroker(broker_url)))["/health/ready"]
    await broker.connect()
    assert (await get(ready, "/")).status_code == 200  # the worker's consumer

    with pytest.MonkeyPatch.context() as patch:
        unused = RabbitQueue(f"holdfast.unused.{new_id()}", auto_delete=True)
        patch.setattr("worker.operations.health.COMMANDS_QUEUE", unused)
        answer = await get(ready, "/")

    await broker.stop()
    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready", "postgres": True, "rabbitmq": False}


async def test_a_worker_without_postgres_is_not_ready(
    worker: AsgiFastStream, broker_url: str
) -> None:
    away = create_engine("postgresql://nobody@127.0.0.1:1/nothing", 1)
    broker = RabbitBroker(broker_url)
    await broker.connect()

    answer = await get(dict(health_routes(away, broker))["/health/ready"], "/")

    await broker.stop()
    await away.dispose()
    assert answer.status_code == 503
    assert answer.json() == {"status": "not_ready", "postgres": False, "rabbitmq": True}


async def test_the_metrics_count_decided_commands(
    worker: AsgiFastStream, harness: Harness, client: QueueClient
) -> None:
    def decided(text: str) -> float:
        line = 'holdfast_commands_decided_total{code="",kind="release_cart",status="succeeded"} '
        return sum(float(one[len(line) :]) for one in text.splitlines() if one.startswith(line))

    before = decided((await get(worker, "/metrics")).text)
    command = release_cart(await harness.user())
    await client.ask([command])
    await client.ask([command])

    text = (await get(worker, "/metrics")).text
    assert decided(text) == before + 1
    for name in ("commands_recalled_total", "batch_commands_count", "batch_seconds_count"):
        assert f"holdfast_{name} " in text


async def test_the_queue_is_documented(worker: AsgiFastStream) -> None:
    document = (await get(worker, "/asyncapi.json")).json()

    assert document["asyncapi"].startswith("3.")
    assert topology.COMMANDS_QUEUE in json.dumps(document)
    # AsyncAPI's own validator refuses the objects of OpenAPI under this name.
    assert '"propertyName"' not in json.dumps(document)


async def test_the_documentation_page_needs_no_other_host(worker: AsgiFastStream) -> None:
    page = await get(worker, "/asyncapi")

    assert page.status_code == 200
    assert "//" not in page.text
    references = set(re.findall(r'(?:src|href|fetch)(?:="|\(")([^"]+)"', page.text)) - {"data:,"}
    assert references == {"asyncapi.json", "asyncapi/standalone.js", "asyncapi/default.min.css"}
    for reference in references:
        answer = await get(worker, f"/{reference}")
        assert answer.status_code == 200
        assert len(answer.content) > 1_000
    assert "url(" not in (await get(worker, "/asyncapi/default.min.css")).text


async def test_the_worker_serves_no_other_file(worker: AsgiFastStream) -> None:
    for path in ("/asyncapi/README.md", "/asyncapi/../../settings.py", "/asyncapi/"):
        assert (await get(worker, path)).status_code == 404
