"""Clients that leave while their request waits: the wait ends, and nothing is kept for them."""

import asyncio
from typing import Any

import pytest

from gateway.messaging.publisher import REPLY_TIMEOUT_SECONDS
from gateway.server.client_disconnects import ClientDisconnectedError, ending_on_disconnect
from shared.ids import new_id
from tests.gateway.conftest import Counter
from tests.gateway.messaging.publishing import command, outcome
from tests.gateway.waiting_server import WaitingServer, eventually


class Client:
    """The client of one request, as ASGI shows it."""

    def __init__(self) -> None:
        self._left = asyncio.Event()
        self.receives = 0

    def leave(self) -> None:
        self._left.set()

    async def receive(self) -> dict[str, Any]:
        self.receives += 1
        if self.receives == 1:
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}


async def until_it_leaves(client: Client, waiting: Any) -> None:
    with ending_on_disconnect(client.receive):
        await waiting


async def test_a_client_that_leaves_is_noticed_and_no_other_is(server: WaitingServer):
    _, leaves = await server.ask("/wait")
    _, stays = await server.ask("/wait")
    await eventually(lambda: server.waiting == 2)
    leaves.close()
    await eventually(lambda: server.left == 1)
    await asyncio.sleep(0.05)
    assert server.left == 1
    stays.transport.abort()  # resets the connection
    await eventually(lambda: server.left == 2)


async def test_a_client_that_left_before_the_watch_began_is_noticed(
    server: WaitingServer,
):
    server.watch_after_seconds = 0.2
    _, leaves = await server.ask("/wait")
    await eventually(lambda: server.waiting == 1)
    leaves.close()
    await eventually(lambda: server.left == 1)


async def test_a_submission_is_watched_only_while_the_read_model_is_polled(counter: Counter):
    await counter.queue()
    client = Client()
    watch = ending_on_disconnect(client.receive)
    assert await counter.publisher.submit(command(), REPLY_TIMEOUT_SECONDS - 0.1, watch) is None
    assert client.receives == 0
    assert await counter.publisher.submit(command(), REPLY_TIMEOUT_SECONDS + 0.1, watch) is None
    assert client.receives == 2


async def test_after_the_wait_a_client_that_leaves_cancels_nothing():
    client = Client()
    with ending_on_disconnect(client.receive):
        await asyncio.sleep(0.05)
    client.leave()
    await asyncio.sleep(0.05)
    assert client.receives == 2


async def test_another_cancellation_is_passed_on():
    waiting = asyncio.create_task(until_it_leaves(Client(), asyncio.sleep(5)))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("after_seconds", [0.05, REPLY_TIMEOUT_SECONDS + 0.2])
async def test_the_waiter_of_a_submission_is_removed(counter: Counter, after_seconds: float):
    await counter.queue()
    client = Client()
    submitting = counter.publisher.submit(command(), 30, ending_on_disconnect(client.receive))
    waiting = asyncio.create_task(submitting)
    await asyncio.sleep(after_seconds)
    assert counter.count("holdfast_awaiting_reply") == 1
    client.leave()
    with pytest.raises(ClientDisconnectedError):
        await asyncio.wait_for(waiting, REPLY_TIMEOUT_SECONDS + 0.2)
    assert counter.count("holdfast_awaiting_reply") == 0
    assert counter.count("holdfast_awaiting_outcome") == 0


async def test_a_submission_still_leaves_for_the_broker(counter: Counter):
    queue = await counter.queue()
    counter.proxy.hold()
    client = Client()
    submitting = counter.publisher.submit(command(), 30, ending_on_disconnect(client.receive))
    waiting = asyncio.create_task(submitting)
    await asyncio.sleep(0.05)
    client.leave()
    with pytest.raises(ClientDisconnectedError):
        await waiting
    counter.proxy.let_through()
    await counter.publisher.drain()
    assert await queue.get(no_ack=True) is not None


async def test_an_outcome_in_time_is_returned(counter: Counter):
    await counter.answer(await counter.queue(), outcome)
    client = Client()
    watch = ending_on_disconnect(client.receive)
    assert await counter.publisher.submit(command(), 5, watch) is not None


async def test_the_waiter_for_an_outcome_is_removed(counter: Counter):
    client = Client()
    waiting = counter.outcome_poller.wait_for(new_id(), new_id(), 30)
    looking = asyncio.create_task(until_it_leaves(client, waiting))
    await asyncio.sleep(0.05)
    assert counter.count("holdfast_awaiting_outcome") == 1
    client.leave()
    with pytest.raises(ClientDisconnectedError):
        await asyncio.wait_for(looking, 0.2)
    assert counter.count("holdfast_awaiting_outcome") == 0
    assert counter.outcome_poller.idle == 0
