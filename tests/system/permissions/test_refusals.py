"""What the broker refuses to each account: each operation is tried, not read from permissions."""

from collections.abc import Awaitable, Callable

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from dev.addresses import with_last_part
from dev.servers.private_rabbitmq import PrivateRabbitMQ
from shared.topology import (
    COMMANDS_ARGUMENTS,
    COMMANDS_EXCHANGE,
    COMMANDS_QUEUE,
    COMMANDS_ROUTING_KEY,
    DEAD_EXCHANGE,
    DEAD_QUEUE,
    DEAD_ROUTING_KEY,
    REPLIES_PREFIX,
)
from tests.accounts import as_user
from tests.deployment import Deployment

Act = Callable[[AbstractChannel], Awaitable[object]]


def declare(queue: str, **how: object) -> Act:
    return lambda channel: channel.declare_queue(queue, **how)


def declare_exchange(name: str) -> Act:
    return lambda channel: channel.declare_exchange(name, durable=True)


def delete(queue: str) -> Act:
    return lambda channel: channel.queue_delete(queue)


def delete_exchange(name: str) -> Act:
    return lambda channel: channel.exchange_delete(name)


def purge(queue: str) -> Act:
    async def act(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).purge()

    return act


def get(queue: str) -> Act:
    async def act(channel: AbstractChannel) -> None:
        await (await channel.get_queue(queue, ensure=False)).get(fail=False)

    return act


def consume(queue: str) -> Act:
    async def act(channel: AbstractChannel) -> None:
        async def take(message: object) -> None: ...

        await (await channel.get_queue(queue, ensure=False)).consume(take)

    return act


def publish(exchange: str, routing_key: str, **properties: str) -> Act:
    async def act(channel: AbstractChannel) -> None:
        target = (
            await channel.get_exchange(exchange, ensure=False)
            if exchange
            else channel.default_exchange
        )
        await target.publish(aio_pika.Message(b"[]", **properties), routing_key)

    return act


def listen_in(exchange: str, routing_key: str) -> Act:
    """Bind an own queue, so that it gets a copy of every message."""

    async def act(channel: AbstractChannel) -> None:
        queue = await channel.declare_queue(f"{REPLIES_PREFIX}mine", exclusive=True)
        await queue.bind(exchange, routing_key)

    return act


COMMANDS_DECLARED = declare(COMMANDS_QUEUE, durable=True, arguments=dict(COMMANDS_ARGUMENTS))
REFUSED: list[tuple[str, str, Act]] = [
    ("gateway", "declares a queue", declare("another")),
    ("gateway", "declares a queue that the broker names", declare("", exclusive=True)),
    ("gateway", "declares the queue of commands", COMMANDS_DECLARED),
    ("gateway", "deletes the queue of commands", delete(COMMANDS_QUEUE)),
    ("gateway", "purges the queue of commands", purge(COMMANDS_QUEUE)),
    ("gateway", "declares an exchange", declare_exchange("another")),
    ("gateway", "deletes the exchange of commands", delete_exchange(COMMANDS_EXCHANGE)),
    ("gateway", "gets a command", get(COMMANDS_QUEUE)),
    ("gateway", "consumes commands", consume(COMMANDS_QUEUE)),
    ("gateway", "gets a dead letter", get(DEAD_QUEUE)),
    ("gateway", "purges the dead letters", purge(DEAD_QUEUE)),
    ("gateway", "listens in on commands", listen_in(COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY)),
    ("gateway", "listens in on dead letters", listen_in(DEAD_EXCHANGE, DEAD_ROUTING_KEY)),
    ("gateway", "publishes past the exchange", publish("", COMMANDS_QUEUE)),
    ("gateway", "forges a reply", publish("", f"{REPLIES_PREFIX}another")),
    ("gateway", "publishes a dead letter", publish(DEAD_EXCHANGE, DEAD_ROUTING_KEY)),
    ("gateway", "publishes elsewhere", publish("amq.direct", "anything")),
    ("gateway", "publishes to a topic", publish("amq.topic", "anything")),
    ("worker", "declares a queue", declare("another")),
    ("worker", "declares a reply queue", declare(f"{REPLIES_PREFIX}another", exclusive=True)),
    ("worker", "declares an exchange", declare_exchange("another")),
    ("worker", "reads replies", get(f"{REPLIES_PREFIX}another")),
    ("worker", "publishes elsewhere", publish("amq.fanout", "anything")),
    ("operator", "gets a command", get(COMMANDS_QUEUE)),
    ("operator", "consumes commands", consume(COMMANDS_QUEUE)),
    ("operator", "deletes the queue of commands", delete(COMMANDS_QUEUE)),
    ("operator", "deletes the dead letters' queue", delete(DEAD_QUEUE)),
    ("operator", "declares a queue", declare("another")),
    ("operator", "forges a reply", publish("", f"{REPLIES_PREFIX}another")),
    ("operator", "publishes a dead letter", publish(DEAD_EXCHANGE, DEAD_ROUTING_KEY)),
]


@pytest.mark.parametrize(
    ("account", "act"),
    [(account, act) for account, _, act in REFUSED],
    ids=[f"{account} {what}" for account, what, _ in REFUSED],
)
async def test_the_broker_refuses(
    deployment: Deployment, brokers: dict[str, str], account: str, act: Act
) -> None:
    async with await aio_pika.connect(brokers[account]) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelAccessRefused):
            await act(channel)


@pytest.mark.parametrize("account", ["gateway", "worker", "operator"])
async def test_no_account_can_publish_as_another(
    deployment: Deployment, brokers: dict[str, str], account: str
) -> None:
    another = "operator" if account == "gateway" else "gateway"
    async with await aio_pika.connect(brokers[account]) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelPreconditionFailed, match="user_id"):
            await publish(COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY, user_id=another)(channel)


async def test_a_gateway_cannot_read_the_replies_of_another(
    deployment: Deployment, brokers: dict[str, str], node: PrivateRabbitMQ
) -> None:
    queues = node.control("list_queues", "-p", "holdfast", "name", "--no-table-headers").split()
    replies = [name for name in queues if name.startswith(REPLIES_PREFIX)]
    assert len(replies) == 2

    async with await aio_pika.connect(brokers["gateway"]) as connection:
        channel = await connection.channel()
        with pytest.raises(ChannelLockedResource):
            await get(replies[0])(channel)


async def test_no_account_can_enter_another_vhost(
    brokers: dict[str, str], node: PrivateRabbitMQ
) -> None:
    node.control("add_vhost", "another")
    for account in ("gateway", "worker", "operator"):
        with pytest.raises(InvalidFrameError, match=r"Connection\.Close"):
            await aio_pika.connect(with_last_part(brokers[account], "another"))


async def test_a_wrong_password_is_refused(brokers: dict[str, str]) -> None:
    with pytest.raises(ProbableAuthenticationError):
        await aio_pika.connect(as_user(brokers["gateway"], "gateway", "another"))
