"""A publisher on real RabbitMQ, with an exchange and a queue of each test's own."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
from pydantic_core import from_json

from gateway.messaging.broker_connection import keep_connected
from gateway.messaging.publisher import Publisher
from gateway.messaging.replies import Replies
from gateway.outcome_document import DecidedOutcome
from gateway.read_model.outcome_poller import OutcomePoller, OutcomeRow
from gateway.telemetry import Metrics
from shared.ids import new_id
from shared.topology import COMMANDS_ROUTING_KEY
from tests.gateway.proxy import Proxy
from tests.gateway.waiting_server import WaitingServer, eventually

WITHIN_SECONDS = 10


@dataclass
class Counter:
    """A publisher at its broker, and what stands behind it: the queue and the read model."""

    publisher: Publisher
    replies: Replies
    outcome_poller: OutcomePoller
    metrics: Metrics
    proxy: Proxy
    channel: AbstractChannel
    exchange: str
    recorded: list[OutcomeRow] = field(default_factory=list)

    async def queue(self, **arguments: Any) -> AbstractQueue:
        """Declare the queue of commands, with a broker's own arguments."""
        queue = await self.channel.declare_queue(exclusive=True, arguments=arguments)
        await queue.bind(self.exchange, COMMANDS_ROUTING_KEY)
        return queue

    async def answer(self, queue: AbstractQueue, outcome: Callable[..., str]) -> None:
        """Answer every message as a worker would, with `outcome(command, place)` for each."""

        async def reply(message: AbstractIncomingMessage) -> None:
            documents = [outcome(c, place) for place, c in enumerate(from_json(message.body))]
            await self.channel.default_exchange.publish(
                aio_pika.Message(
                    f"[{','.join(documents)}]".encode(), correlation_id=message.correlation_id
                ),
                message.reply_to,
            )

        await queue.consume(reply, no_ack=True)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0

    async def eventually(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WITHIN_SECONDS):
            while not holds():
                await asyncio.sleep(0.01)

    async def connected(self) -> None:
        await self.eventually(lambda: self.publisher.connected and self.replies.connected)


@pytest.fixture
async def counter(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Counter]:
    exchange = f"test.{new_id()}"
    monkeypatch.setattr("gateway.messaging.publisher.COMMANDS_EXCHANGE", exchange)
    recorded: list[OutcomeRow] = []

    async def find(command_ids: list[str]) -> list[OutcomeRow]:
        return [row for row in recorded if row.command_id in command_ids]

    def on_reply(correlation_id: str, answers: list[DecidedOutcome]) -> None:
        publisher.on_reply(correlation_id, answers)
        outcome_poller.notify(answer.command_id for answer in answers)

    metrics = Metrics()
    outcome_poller = OutcomePoller(find, metrics)
    replies = Replies(on_reply, lambda: publisher.on_replies_lost())
    publisher = Publisher(replies.queue_name, outcome_poller, metrics)
    async with await aio_pika.connect(broker_url) as connection, Proxy(broker_url) as proxy:
        channel = await connection.channel()
        await channel.declare_exchange(exchange, auto_delete=True)
        links = [
            asyncio.create_task(keep_connected(proxy.url, "test", serve))
            for serve in (publisher.serve, replies.serve)
        ]
        counter = Counter(
            publisher, replies, outcome_poller, metrics, proxy, channel, exchange, recorded
        )
        await counter.connected()
        yield counter
        proxy.let_through()
        for link in links:
            link.cancel()
        await asyncio.gather(*links, return_exceptions=True)
        with suppress(aio_pika.exceptions.AMQPError):
            await channel.exchange_delete(exchange)


@pytest.fixture
async def server() -> AsyncIterator[WaitingServer]:
    server = WaitingServer()
    serving = asyncio.create_task(server.server._serve())
    await eventually(lambda: server.server.started)
    yield server
    server.server.should_exit = True
    await serving
