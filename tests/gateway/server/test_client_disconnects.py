"""Clients that leave while they wait: the gateway notices, and keeps nothing for them."""

import asyncio
from typing import Any

import pytest

from gateway.messaging.submit import CONFIRM_TIMEOUT_SECONDS, REPLY_PATIENCE_SECONDS
from gateway.server.client_disconnects import DisconnectProtocol, on_disconnect
from shared.ids import new_id
from tests.gateway.conftest import Counter
from tests.gateway.messaging.test_submit import command, outcome
from tests.gateway.waiting_server import WaitingServer, eventually
from tests.gateway.wire import Wire


async def test_who_leaves_is_noticed_at_once_and_nobody_else_is(server: WaitingServer):
    _, leaves = await server.ask("/wait")
    _, stays = await server.ask("/wait")
    await eventually(lambda: server.waiting == 2)
    leaves.close()
    await eventually(lambda: server.left == 1)
    await asyncio.sleep(0.05)
    assert server.left == 1
    stays.transport.abort()  # without a goodbye
    await eventually(lambda: server.left == 2)


class WaitingWire(Wire):
    """Whose app never answers, and notes who has left."""

    left: list[str]

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.left = []
        on_disconnect(scope, lambda: self.left.append(scope["path"]))
        while (await receive())["type"] != "http.disconnect":
            pass


async def test_who_has_asked_for_more_meanwhile_is_noticed_by_what_is_served():
    wire = WaitingWire(DisconnectProtocol)
    await wire.say(b"GET /first HTTP/1.1\r\nHost: x\r\n\r\nGET /next HTTP/1.1\r\nHost: x\r\n\r\n")
    wire.closed = True
    wire.protocol.connection_lost(None)
    await wire.heard()
    assert wire.left == ["/first"]
    assert not wire.state.tasks


async def test_who_had_left_before_is_noticed_when_somebody_wants_to_know(server: WaitingServer):
    _, leaves = await server.ask("/later/wait")
    await eventually(lambda: server.arrived == 1)
    leaves.close()
    await asyncio.sleep(0.05)
    server.go_on.set()
    await eventually(lambda: server.left == 1)


async def test_who_leaves_without_waiting_is_no_matter(server: WaitingServer):
    reader, writer = await server.ask("/")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    _, silent = await asyncio.open_connection("127.0.0.1", server.port)
    silent.close()
    await asyncio.sleep(0.05)


@pytest.mark.parametrize("after_seconds", [0.05, REPLY_PATIENCE_SECONDS + 0.2])
async def test_a_submission_is_waited_for_no_more(counter: Counter, after_seconds: float):
    await counter.queue()
    scope: dict[str, Any] = {}
    waiting = asyncio.create_task(counter.publisher.submit(command(), 30, scope))
    await asyncio.sleep(after_seconds)
    assert counter.count("holdfast_awaiting_reply") == 1
    scope["holdfast.on_departure"]()
    assert await asyncio.wait_for(waiting, 0.2) is None
    assert counter.count("holdfast_awaiting_reply") == 0
    assert counter.count("holdfast_awaiting_outcome") == 0


async def test_a_submission_still_leaves_for_the_broker(counter: Counter):
    queue = await counter.queue()
    counter.proxy.hold()
    scope: dict[str, Any] = {}
    waiting = asyncio.create_task(counter.publisher.submit(command(), 30, scope))
    await asyncio.sleep(0.05)
    scope["holdfast.on_departure"]()
    await asyncio.sleep(0.05)
    assert not waiting.done()  # it is not known yet whether the broker has it
    counter.proxy.let_through()
    assert await asyncio.wait_for(waiting, CONFIRM_TIMEOUT_SECONDS) is None
    assert await queue.get(no_ack=True) is not None


async def test_after_the_answer_it_is_no_matter(counter: Counter):
    await counter.answer(await counter.queue(), outcome)
    scope: dict[str, Any] = {}
    decided = await counter.publisher.submit(command(), 5, scope)
    scope["holdfast.on_departure"]()
    assert decided is not None


async def test_an_outcome_is_looked_for_no_more(counter: Counter):
    scope: dict[str, Any] = {}
    looking = asyncio.create_task(counter.outcome_poller.recorded(new_id(), new_id(), 30, scope))
    await asyncio.sleep(0.05)
    assert counter.count("holdfast_awaiting_outcome") == 1
    scope["holdfast.on_departure"]()
    assert await asyncio.wait_for(looking, 0.2) is None
    assert counter.count("holdfast_awaiting_outcome") == 0
