"""A worker that acknowledges what it takes before it has decided it."""

from typing import Any

from chaos import crashing_worker
from worker.answers import Acknowledger
from worker.consumer import Consumer

handle = Consumer.handle


async def acknowledge_first(consumer: Consumer, message: Any) -> None:
    await message.channel.basic_ack(message.delivery_tag)
    await handle(consumer, message)


async def acknowledge_no_more(_: Acknowledger) -> None:
    """It has been done."""


if __name__ == "__main__":
    Consumer.handle = acknowledge_first
    Acknowledger.acknowledge = acknowledge_no_more
    crashing_worker.main()
