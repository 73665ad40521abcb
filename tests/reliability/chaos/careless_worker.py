"""A worker that acknowledges what it takes before it has decided it."""

from typing import Any

from reliability.chaos.system import crashing_worker
from worker.messaging.consumer import Consumer
from worker.messaging.replies import AckBatcher

handle = Consumer.handle


async def acknowledge_first(consumer: Consumer, message: Any) -> None:
    await message.channel.basic_ack(message.delivery_tag)
    await handle(consumer, message)


async def acknowledge_no_more(_: AckBatcher) -> None:
    """It has been done."""


if __name__ == "__main__":
    Consumer.handle = acknowledge_first
    AckBatcher.acknowledge = acknowledge_no_more
    crashing_worker.main()
