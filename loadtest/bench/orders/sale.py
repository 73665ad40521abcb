"""A sale through the queue, one kind of command after the other, each as fast as it goes."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Any

from loadtest.bench.cases.new_buyers import register_new_buyers
from loadtest.fixtures import UNIT_PRICE, Fixtures, set_fixtures_through_queue
from loadtest.progress import Progress
from loadtest.queue.amqp import CommandsLink, connect
from loadtest.queue.client import PreparationError, QueueClient
from loadtest.workload import CommandIds, Workload

COMMANDS_PER_MESSAGE = 100
MESSAGES_IN_FLIGHT = 20
SILENT_SECONDS = 30.0
QUIET = Progress(quiet=True)

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sale:
    """The paid orders of an event, and the commands a second that made them."""

    fixtures: Fixtures
    check_outs_per_second: float
    payments_per_second: float


async def sell(broker_url: str, database_url: str, orders: int) -> Sale:
    """Let so many new buyers hold one ticket each, check out and pay.

    All payments are recorded by one payment agent. Raises `PreparationError` where a command is
    refused or a worker is silent.
    """
    workload = Workload(buyers=orders, check_out=1.0, pay=1.0)
    buyers = await register_new_buyers(database_url, orders)
    async with QueueClient(broker_url) as queue_client:
        fixtures = await set_fixtures_through_queue(queue_client, workload, QUIET, buyers=buyers)
    users = [buyer.user_id for buyer in buyers]
    items = [{"ticket_type_id": fixtures.ticket_type_ids[0], "quantity": 1}]
    async with _Stream(broker_url) as stream:
        await stream.apply([_command("reserve_tickets", user, items=items) for user in users])
        check_outs = [
            _command("check_out", user, event_id=fixtures.event_id, expected_total=UNIT_PRICE)
            for user in users
        ]
        check_out_seconds, outcomes = await stream.apply(check_outs)
        payments = [
            _command(
                "record_payment",
                fixtures.organizer.user_id,
                order_id=outcome["command_id"],
                payment_id=f"bench-{outcome['command_id']}",
                amount=UNIT_PRICE,
                currency=outcome["result"]["order"]["currency"],
            )
            for outcome in outcomes
        ]
        payment_seconds, _ = await stream.apply(payments)
    return Sale(fixtures, orders / check_out_seconds, orders / payment_seconds)


class _Stream:
    """Publishes messages of many commands, with a bounded number of them in flight."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._link: CommandsLink
        self._places = asyncio.Semaphore(MESSAGES_IN_FLIGHT)
        self._replies: dict[str, bytes] = {}

    async def apply(self, commands: Sequence[Document]) -> tuple[float, list[Document]]:
        """Return the seconds from the first message to the last reply, and the outcomes.

        Raises `PreparationError`.
        """
        starts = range(0, len(commands), COMMANDS_PER_MESSAGE)
        chunks = [commands[at : at + COMMANDS_PER_MESSAGE] for at in starts]
        # The first command's ID names a message.
        bodies = {chunk[0]["command_id"]: json.dumps(chunk).encode() for chunk in chunks}
        self._replies.clear()
        started = perf_counter()
        for name, body in bodies.items():
            await self._take_place()
            self._link.publish(name, body)
        for _ in range(MESSAGES_IN_FLIGHT):
            await self._take_place()
        seconds = perf_counter() - started
        for _ in range(MESSAGES_IN_FLIGHT):
            self._places.release()
        outcomes = [outcome for name in bodies for outcome in json.loads(self._replies[name])]
        for outcome in outcomes:
            if outcome["status"] != "succeeded":
                raise PreparationError(f"{outcome['kind']} was refused: {outcome['refusal']}")
        return seconds, outcomes

    async def __aenter__(self) -> "_Stream":
        self._link = await connect(self._broker_url, self._on_reply, self._on_confirm)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._link.close()

    async def _take_place(self) -> None:
        try:
            await asyncio.wait_for(self._places.acquire(), SILENT_SECONDS)
        except TimeoutError:
            raise PreparationError(f"No reply within {SILENT_SECONDS:g} s.") from None

    def _on_reply(self, name: str, body: bytes) -> None:
        self._replies[name] = body
        self._places.release()

    def _on_confirm(self, number: int, multiple: bool, taken: bool) -> None:
        """A reply says more than a confirm."""


_ids = CommandIds()


def _command(kind: str, user_id: str, **fields: Any) -> Document:
    (command_id,) = _ids.take(1)
    return {
        "kind": kind,
        "command_id": command_id,
        "user_id": user_id,
        "submitted_at": datetime.now(UTC).isoformat(),
        **fields,
    }
