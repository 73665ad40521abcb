"""A worker as a process: killed at the worst moments, told to stop, cut off from the broker."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import AsyncIterator

import aio_pika
import httpx
import pytest

from shared import topology
from tests.builders import release_cart, reserve
from tests.deployment import Deployment, Process
from tests.worker.harness import Harness, eventually
from tests.worker.queue_client import QueueClient


@pytest.fixture
async def deployment(database_url: str, broker_url: str) -> AsyncIterator[Deployment]:
    async with Deployment(database_url, broker_url) as deployment:
        yield deployment


@pytest.fixture
async def worker(deployment: Deployment) -> Process:
    await deployment.start(gateways=0, workers=1)
    return deployment.workers[0]


@pytest.fixture
async def client(worker: Process, broker_url: str) -> AsyncIterator[QueueClient]:
    async with QueueClient.connected(broker_url) as client:
        yield client


async def test_it_lives_is_ready_and_counts(worker: Process) -> None:
    async with httpx.AsyncClient(base_url=worker.url) as http:
        for path in ("/health/live", "/health/ready", "/metrics", "/asyncapi.json"):
            assert (await http.get(path)).status_code == 200


async def test_killed_inside_its_transaction_it_leaves_the_message_to_the_next(
    harness: Harness, deployment: Deployment, worker: Process, client: QueueClient
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(ann, {tickets: 1})

    async with harness.locked("ticket_types", tickets):
        correlation_id = await client.publish([command])
        await harness.waiting(1)
        assert await client.ready_messages() == 0
        await worker.kill()

        async def is_back() -> bool:
            return await client.ready_messages() == 1

        await eventually(is_back)
        assert await harness.recorded(command) == []

    await deployment.add("worker", deployment.workers).start()
    (outcome,) = json.loads(await client.reply_to(correlation_id))
    assert outcome["status"] == "succeeded"
    assert await harness.held(tickets) == 1


async def test_killed_between_commit_and_acknowledgement_it_is_applied_once(
    harness: Harness, deployment: Deployment, worker: Process, client: QueueClient
) -> None:
    await stop(worker)
    ann, tickets = await harness.user(), await harness.ticket_type()
    command = reserve(ann, {tickets: 1})
    doomed = deployment.add("tests.worker.dies_before_ack", deployment.workers)
    await doomed.start()

    correlation_id = await client.publish([command])
    assert await doomed.ended() == -signal.SIGKILL
    (recorded,) = await harness.recorded(command)

    async def is_back() -> bool:
        return await client.ready_messages() == 1

    await eventually(is_back)
    client.replies.clear()  # the reply of the doomed, if it got out
    await deployment.add("worker", deployment.workers).start()

    assert await client.reply_to(correlation_id) == f"[{recorded}]"
    assert await harness.held(tickets) == await harness.reserved(tickets) == 1


async def test_a_stopping_worker_finishes_the_messages_that_it_has_taken(
    harness: Harness, worker: Process, client: QueueClient
) -> None:
    tickets, users = await harness.ticket_type(total=1_000), await harness.users(500)
    async with harness.locked("ticket_types", tickets):
        sent = [await client.publish([reserve(user, {tickets: 1})]) for user in users]
        await harness.waiting(1)
        worker.signal(signal.SIGTERM)
        await is_stopping(worker)
        late = await client.publish([release_cart(users[0])])

    assert_stopped_cleanly(worker, await worker.ended())
    answers = [json.loads(await client.reply_to(one))[0]["status"] for one in sent]
    assert Counter(answers) == {"succeeded": 500}
    assert late not in {reply.correlation_id for reply in client.replies}
    assert await not_pushed(client) == 1, "only what it had not taken is left"


async def test_a_stopping_worker_that_reconnects_takes_only_what_arrives_before_its_cancel(
    harness: Harness, worker: Process, client: QueueClient, broker_url: str
) -> None:
    """The connection that is opened anew consumes as the one before did."""
    tickets, users = await harness.ticket_type(total=1_000), await harness.users(2)
    async with harness.locked("ticket_types", tickets):
        await client.publish([reserve(users[0], {tickets: 1})])
        await harness.waiting(1)
        worker.signal(signal.SIGTERM)
        await is_stopping(worker)
        await client.publish([release_cart(users[1])])
        await close_connections_of_others(client, broker_url)
        async with QueueClient.connected(broker_url) as again:

            async def has_returned() -> bool:
                return await again.ready_messages() == 0

            await eventually(has_returned)
            await asyncio.sleep(0.3)
            await again.publish([release_cart(users[1])])

    assert_stopped_cleanly(worker, await worker.ended())
    async with QueueClient.connected(broker_url) as again:
        assert await not_pushed(again) == 1


async def test_a_worker_stops_before_its_first_message(worker: Process) -> None:
    await stop(worker)


async def test_a_worker_that_is_cut_off_from_the_broker_reconnects(
    harness: Harness, worker: Process, client: QueueClient, broker_url: str
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    await client.ask([reserve(ann, {tickets: 1})])
    await close_connections_of_others(client, broker_url)

    await worker.ready()
    async with QueueClient.connected(broker_url) as again:
        (outcome,) = await again.ask([release_cart(ann)])

    assert outcome["status"] == "succeeded"
    await stop(worker)


async def test_a_worker_stops_while_it_is_cut_off(
    harness: Harness, worker: Process, client: QueueClient, broker_url: str
) -> None:
    """The consumer that it would cancel has gone with its channel."""
    await client.ask([release_cart(await harness.user())])
    await close_connections_of_others(client, broker_url)
    await worker.ready()

    await stop(worker)


async def is_stopping(worker: Process) -> None:
    """Wait until it has been told to stop, and has told the broker."""

    async def says_so() -> bool:
        return "shutting down" in worker.log.read_text()

    await eventually(says_so)
    await asyncio.sleep(0.3)


async def not_pushed(client: QueueClient) -> int:
    """How many messages are left in the queue; pushed in vain, they have a delivery counted."""
    queue = await client.channel.get_queue(topology.COMMANDS_QUEUE)
    left = 0
    while message := await queue.get(fail=False):
        await message.ack()
        assert not message.redelivered, "it was pushed, and came back with a delivery counted"
        left += 1
    return left


async def stop(worker: Process) -> None:
    """Stop it as an operator would."""
    assert_stopped_cleanly(worker, await worker.stop())


def assert_stopped_cleanly(worker: Process, exit_code: int) -> None:
    """Uvicorn ends itself by the signal that it got, once everything is shut down."""
    log = worker.log.read_text()
    assert exit_code == 0, log
    assert "shut down gracefully" in log, log
    assert "shutdown failed" not in log, log


async def close_connections_of_others(client: QueueClient, broker_url: str) -> None:
    """As an operator does; only those in the vhost of these tests."""
    vhost = broker_url.rpartition("/")[2]
    process = await asyncio.create_subprocess_exec(
        "rabbitmqctl", "-q", "close_all_connections", "--vhost", vhost, "the tests ask for it"
    )
    assert await process.wait() == 0


async def test_a_queue_deleted_under_it_is_declared_again_or_ends_it(
    harness: Harness, worker: Process, client: QueueClient, broker_url: str
) -> None:
    async with await aio_pika.connect(broker_url) as connection:
        channel = await connection.channel()
        await channel.queue_delete(topology.COMMANDS_QUEUE)

    async def recovered_or_ended() -> bool:
        if not worker.is_running:
            return True
        async with httpx.AsyncClient(base_url=worker.url) as http:
            return (await http.get("/health/ready")).status_code == 200

    await eventually(recovered_or_ended, within_seconds=10, every_seconds=0.1)
    if not worker.is_running:
        assert await worker.ended() != 0
    else:
        (outcome,) = await client.ask([release_cart(await harness.user())])
        assert outcome["status"] == "succeeded"


async def test_a_binding_deleted_under_it_is_made_again(
    harness: Harness, worker: Process, client: QueueClient
) -> None:
    queue = await client.channel.get_queue(topology.COMMANDS_QUEUE)
    await queue.unbind(topology.COMMANDS_EXCHANGE, topology.COMMANDS_ROUTING_KEY)

    async def bound_again() -> bool:
        try:
            await client.publish([release_cart(await harness.user())])
        except aio_pika.exceptions.PublishError:
            return False
        return True

    assert not await bound_again()
    await eventually(bound_again, within_seconds=10, every_seconds=0.1)
