"""Publishes reservations with a given broker account, and finds out what became of them."""

import asyncio
import json
from dataclasses import dataclass, field

import aio_pika

from shared.ids import new_id
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_QUEUE, COMMANDS_ROUTING_KEY, DEAD_QUEUE
from tests.system.amqp import reservation
from tests.system.clients import Person

ANSWER_SECONDS = 10


@dataclass
class Publisher:
    """Publishes commands and takes dead letters, with the accounts that the URLs name."""

    brokers: dict[str, str]
    buyer: Person
    tickets: str
    handed_in: list[str] = field(default_factory=list)

    async def hand_in(self, account: str, exchange: str = COMMANDS_EXCHANGE, **claims: str) -> None:
        """Publish a reservation of one ticket."""
        body = json.dumps([reservation(self.buyer.id, self.tickets)]).encode()
        routing_key = COMMANDS_ROUTING_KEY if exchange else COMMANDS_QUEUE
        self.handed_in.append(new_id())
        message = aio_pika.Message(body, correlation_id=self.handed_in[-1], **claims)
        async with await aio_pika.connect(self.brokers[account]) as connection:
            channel = await connection.channel(on_return_raises=True)
            target = (
                await channel.get_exchange(exchange, ensure=False)
                if exchange
                else channel.default_exchange
            )
            await target.publish(message, routing_key, mandatory=True)

    async def held(self) -> int:
        return (await self.buyer.holds()).get(self.tickets, 0)

    async def dead_letter(self) -> aio_pika.abc.AbstractIncomingMessage:
        """Take the dead letter of the last command."""
        async with (
            asyncio.timeout(ANSWER_SECONDS),
            await aio_pika.connect(self.brokers["operator"]) as connection,
        ):
            channel = await connection.channel()
            queue = await channel.get_queue(DEAD_QUEUE, ensure=False)
            while True:
                letter = await queue.get(no_ack=True, fail=False)
                if letter is not None and letter.correlation_id == self.handed_in[-1]:
                    return letter
                await asyncio.sleep(0.02)
