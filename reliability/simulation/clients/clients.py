"""Clients that retry, repeat, and send invalid messages; they record every answer."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from reliability.simulation.clients.workload import Workload
from reliability.simulation.fakes.broker import Broker, Message, UnknownError
from reliability.simulation.fakes.tables import Database
from reliability.simulation.fakes.virtual_time import VirtualLoop
from shared.commands import Command, ReserveTickets
from shared.messages import encode_commands
from shared.topology import MERGE_REPLIES_HEADER

REPLY_SECONDS = 1.0
"""How long a reply is awaited before the read model is asked, and the command sent again."""
MAX_SENDINGS = 3
"""How often a command is sent that was accepted."""
MAX_COMMANDS_A_MESSAGE = 4
LONGEST_THOUGHT_SECONDS = 1.0
A_BAD_NEIGHBOUR = b',{"kind":"steal_tickets"}]'
BAD_BODIES = (b"no JSON", b"[]", b'[{"kind":"steal_tickets"}]')


@dataclass
class SentCommand:
    """The commands sent under one ID, and the responses."""

    payloads: list[Command]
    """The first that was sent, and whatever else was sent under its ID."""
    first_sent: datetime
    accepted: bool = False
    answers: list[tuple[Command, str]] = field(default_factory=list)


class Clients:
    """Buyers, an organizer and new users, with the outcomes of their commands."""

    def __init__(self, loop: VirtualLoop, random: Random, database: Database) -> None:
        self.record: dict[str, SentCommand] = {}
        self.bad_messages = 0
        self._loop = loop
        self._random = random
        self._database = database
        self._workload = Workload(loop, random, database)
        self._waiting: dict[str, asyncio.Future[list[str]]] = {}
        self._correlations = 0

    async def visit(self, broker: Broker, commands: int) -> None:
        """Ask for a number of things, one after the other, and repeat some of it."""
        random = self._random
        while commands > 0:
            await asyncio.sleep(LONGEST_THOUGHT_SECONDS * random.random() ** 2)
            count = min(commands, random.choice((1, 1, 1, 2, MAX_COMMANDS_A_MESSAGE)))
            message = [self._workload.command() for _ in range(count)]
            commands -= count
            for command in message:
                self.record[command.command_id] = SentCommand([command], self._loop.now())
                if isinstance(command, ReserveTickets) and random.random() < 0.01:
                    bad = random.choice((self._database.poisoned, self._database.deadly))
                    bad.add(command.command_id)
            times = random.choice((1, 1, 1, 1, 2, 3))
            await asyncio.gather(*(self._ask(broker, message) for _ in range(times)))
            if random.random() < 0.1:
                await self._ask(broker, [self._change_of_mind(command) for command in message])
            if random.random() < 0.1:
                await self._ask(broker, message)
            if random.random() < 0.02:
                await self._send_nonsense(broker)

    def _change_of_mind(self, command: Command) -> Command:
        other = self._workload.other_payload(command)
        self.record[command.command_id].payloads.append(other)
        return other

    async def _ask(self, broker: Broker, commands: list[Command]) -> None:
        """Send until there is an answer; or, now and then, walk off once it is accepted."""
        patient = self._random.random() < 0.9
        accepted = 0
        while accepted < MAX_SENDINGS:
            confirmed, documents = await self._send(broker, commands)
            accepted += confirmed
            if confirmed and not patient:
                return
            for command, document in zip(commands, documents, strict=False):
                self.record[command.command_id].answers.append((command, document))
            if documents:
                return
        # Accepted often enough: to send it once more would only add to the queue.
        outcomes = self._database.tables["outcomes"]
        while not all(command.command_id in outcomes for command in commands):
            await asyncio.sleep(REPLY_SECONDS)

    async def _send(self, broker: Broker, commands: list[Command]) -> tuple[bool, list[str]]:
        """Publish a message; return whether it was confirmed, and the answers."""
        correlation_id = str(self._correlations)
        self._correlations += 1
        reply = self._waiting[correlation_id] = self._loop.create_future()
        headers = {MERGE_REPLIES_HEADER: True} if self._random.random() < 0.3 else {}
        ids = tuple(command.command_id for command in commands)
        body = encode_commands(commands)
        if self._random.random() < 0.02:
            body = body[:-1] + A_BAD_NEIGHBOUR
        confirmed = True
        try:
            await broker.publish(Message(body, "clients", correlation_id, headers, ids))
            for id in ids:
                self.record[id].accepted = True
        except UnknownError:
            confirmed = False
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return confirmed, await reply
        except TimeoutError:
            return confirmed, self._look_up(commands)
        finally:
            del self._waiting[correlation_id]

    def _look_up(self, commands: list[Command]) -> list[str]:
        """Read the user's recorded outcomes from the read model."""
        outcomes = self._database.tables["outcomes"]
        if all(c.command_id in outcomes for c in commands) and all(
            len(self.record[c.command_id].payloads) == 1 for c in commands
        ):
            return [outcomes[c.command_id].document for c in commands]
        return []

    def take_reply(self, correlation_id: str, documents: list[str]) -> None:
        future = self._waiting.get(correlation_id)
        if future is not None and not future.done():
            future.set_result(documents)

    async def _send_nonsense(self, broker: Broker) -> None:
        body = self._random.choice(BAD_BODIES)
        try:
            await broker.publish(Message(body, None, None, {}, ()))
        except UnknownError:
            return
        self.bad_messages += 1
