"""The exchanges and queues of `shared.topology`, as FastStream declares them."""

from typing import TYPE_CHECKING, cast

from faststream.rabbit import QueueType, RabbitExchange, RabbitQueue

from shared import topology

if TYPE_CHECKING:
    from faststream.rabbit.schemas.queue import QuorumQueueArgs

COMMANDS_EXCHANGE = RabbitExchange(topology.COMMANDS_EXCHANGE, durable=True)
COMMANDS_QUEUE = RabbitQueue(
    topology.COMMANDS_QUEUE,
    QueueType.QUORUM,
    routing_key=topology.COMMANDS_ROUTING_KEY,
    arguments=cast("QuorumQueueArgs", topology.COMMANDS_ARGUMENTS),
)
DEAD_EXCHANGE = RabbitExchange(topology.DEAD_EXCHANGE, durable=True)
DEAD_QUEUE = RabbitQueue(
    topology.DEAD_QUEUE,
    QueueType.QUORUM,
    routing_key=topology.DEAD_ROUTING_KEY,
    arguments=cast("QuorumQueueArgs", topology.DEAD_ARGUMENTS),
)
OTHER_DEAD_QUEUE = RabbitQueue(
    topology.DEAD_QUEUE, routing_key=topology.DEAD_ROUTING_KEY, declare=False
)
"""Declared with other arguments than ours, by an earlier version or an administrator."""
