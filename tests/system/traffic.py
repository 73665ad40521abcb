"""Shoppers that retry a command under the same ID until it is accepted.

What was accepted they hand in no more, so that nothing makes up for a command that got lost.
Every command and every answer is written down. What was answered is then held against what is
recorded, and what is held against what the succeeded commands add up to.
"""

import asyncio
import itertools
import json
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import httpx
from aio_pika.exceptions import AMQPError

from shared.ids import new_id
from tests.system.amqp import Document, Queue, command
from tests.system.books import Books
from tests.system.clients import Person, Site, eventually

GIVE_UP_SECONDS = 40
PAUSE_SECONDS = 0.1
AUDIT_EVERY_SECONDS = 0.25
PREFERENCES = ("wait=2", "wait=2", "respond-async", None)
UNKNOWN_STATUSES = (503,)
REPEATED = 0.2
"""The share of decided commands that are repeated."""


Step = Callable[["Order", int], Awaitable[bool]]
"""A step of a shopper at a gateway; tells whether it was the last."""


@dataclass
class Order:
    """A command and all answers to it."""

    person: Person
    kind: str
    ticket_type_id: str
    quantity: int
    id: str = field(default_factory=new_id)
    accepted: bool = False
    unknown: int = 0
    outcomes: list[Document] = field(default_factory=list)
    problems: list[Document] = field(default_factory=list)

    def accept(self) -> None:
        self.accepted = True

    @property
    def is_known(self) -> bool:
        return bool(self.outcomes or self.problems)

    @property
    def as_command(self) -> Document:
        payloads: dict[str, Document] = {
            "reserve_tickets": {
                "items": [{"ticket_type_id": self.ticket_type_id, "quantity": self.quantity}]
            },
            "set_quantity": {"ticket_type_id": self.ticket_type_id, "quantity": self.quantity},
            "release_item": {"ticket_type_id": self.ticket_type_id},
        }
        return command(self.kind, self.person.id, command_id=self.id, **payloads[self.kind])

    def change(self, cart: dict[str, int]) -> None:
        """Apply the command to a cart, as its success does."""
        held = cart.pop(self.ticket_type_id, 0)
        now = {
            "reserve_tickets": held + self.quantity,
            "set_quantity": self.quantity,
            "release_item": 0,
        }[self.kind]
        if now:
            cart[self.ticket_type_id] = now


class Traffic:
    """Shoppers at the gateways and at the queue, one command of each at a time."""

    def __init__(
        self, people: Sequence[Person], ticket_type_ids: Sequence[str], at_the_queue: int = 2
    ) -> None:
        self._people = people
        self._ticket_type_ids = ticket_type_ids
        self._at_the_queue = at_the_queue
        self._open = True
        self._shopping: list[asyncio.Task[None]] = []
        self.orders: list[Order] = []

    async def __aenter__(self) -> Self:
        for number, person in enumerate(self._people):
            shop = self._shop_by_queue if number < self._at_the_queue else self._shop_by_http
            self._shopping.append(asyncio.create_task(shop(person)))
        return self

    async def __aexit__(self, kind: object, *_: object) -> None:
        """Let all shoppers finish what they have begun."""
        self._open = False
        if kind is not None:
            for task in self._shopping:
                task.cancel()
            await asyncio.gather(*self._shopping, return_exceptions=True)
            return
        async with asyncio.timeout(GIVE_UP_SECONDS):
            await asyncio.gather(*self._shopping)

    async def progress(self, number: int = 40) -> None:
        """Wait until so many more commands are decided."""
        wanted = self.settled + number

        async def settled() -> int:
            for task in self._shopping:
                if task.done():
                    task.result()
            return self.settled

        await eventually(settled, lambda count: count >= wanted, GIVE_UP_SECONDS)

    @property
    def settled(self) -> int:
        return sum(order.is_known for order in self.orders)

    @property
    def unknown(self) -> int:
        """Return how many answers were missing or left the outcome unknown."""
        return sum(order.unknown for order in self.orders)

    def _next_order(self, person: Person) -> Order:
        kind = random.choice(["reserve_tickets", "reserve_tickets", "set_quantity", "release_item"])
        quantity = random.randint(0 if kind == "set_quantity" else 1, 3)
        order = Order(person, kind, random.choice(self._ticket_type_ids), quantity)
        self.orders.append(order)
        return order

    async def _shop_by_http(self, person: Person) -> None:
        while self._open:
            order = self._next_order(person)
            await self._carry_through(order, self._hand_in)
            if random.random() < REPEATED:
                await self._carry_through(order, self._repeat)

    async def _carry_through(self, order: Order, take_step: Step) -> None:
        """Take steps at one gateway after the other, until one of them needs no other."""
        give_up_at = time.monotonic() + GIVE_UP_SECONDS
        gateways = len(order.person.deployment.gateways)
        for via in itertools.cycle(random.sample(range(gateways), gateways)):
            assert time.monotonic() < give_up_at, f"never heard of {order}"
            try:
                if await take_step(order, via):
                    return
            except httpx.TransportError:
                order.unknown += 1
            await asyncio.sleep(PAUSE_SECONDS)

    async def _hand_in(self, order: Order, via: int) -> bool:
        """Send the command until it is accepted; then only poll, as it must not get lost."""
        if order.accepted:
            return await self._look(order, via)
        answer = await submit(order, via=via, prefer=random.choice(PREFERENCES))
        if answer.status_code == 202:
            order.accepted = True
            return await self._look(order, via)
        return note(order, answer)

    async def _look(self, order: Order, via: int) -> bool:
        answer = await order.person.get(f"/commands/{order.id}", via=via, prefer="wait=2")
        if answer.status_code == 200 and answer.json()["status"] == "pending":
            return False
        return note(order, answer)

    async def _repeat(self, order: Order, via: int) -> bool:
        """Repeat a decided command: every gateway gives the same answer."""
        answer = await submit(order, via=via, prefer="wait=5")
        return answer.status_code != 202 and note(order, answer)

    async def _shop_by_queue(self, person: Person) -> None:
        order = self._next_order(person)
        while self._open or not order.is_known:
            # aio-pika cancels waiters of a lost connection; only our own cancellation counts.
            session = asyncio.create_task(self._publish_session(order))
            try:
                await asyncio.wait([session])
            finally:
                session.cancel()
            error = None if session.cancelled() else session.exception()
            if error and not isinstance(error, AMQPError | OSError | TimeoutError | RuntimeError):
                raise error
            order = next(order for order in reversed(self.orders) if order.person is person)
            if not order.is_known:
                order.unknown += 1
                await asyncio.sleep(PAUSE_SECONDS)
            if order.accepted and not order.is_known:
                # Confirmed: it must not get lost, so it is not published again.
                await self._carry_through(order, self._look)

    async def _publish_session(self, order: Order) -> None:
        """Publish over one connection, beginning with what is not known yet, until it breaks."""
        person = order.person
        async with Queue(person.deployment.broker_url, reply_seconds=5) as queue:
            while self._open or not order.is_known:
                if order.is_known:
                    order = self._next_order(person)
                body = json.dumps([order.as_command]).encode()
                (outcome,) = json.loads(await queue.ask(body, confirmed=order.accept))
                order.outcomes.append(outcome)

    async def audit(self, books: Books) -> None:
        """Compare the answers with the database."""
        recorded = await books.outcomes([order.id for order in self.orders])
        carts: dict[str, dict[str, int]] = {person.id: {} for person in self._people}
        for order in self.orders:
            assert order.is_known
            # I3, I7: exactly one outcome, equal to every answer.
            outcome = json.loads(recorded[order.id])
            assert all(told == outcome for told in order.outcomes)
            for problem in order.problems:
                assert outcome["refusal"].items() <= problem.items()
            # I5: applied once, and in the order in which its user asked.
            cart = carts[order.person.id]
            if outcome["status"] == "succeeded":
                order.change(cart)
                items = outcome["result"]["cart"]["items"]
                assert {item["ticket_type_id"]: item["quantity"] for item in items} == cart, order
        assert await books.held_by(list(carts)) == carts
        for ticket_type_id in self._ticket_type_ids:
            held = sum(cart.get(ticket_type_id, 0) for cart in carts.values())
            assert await books.reserved(ticket_type_id) == held
        await books.balance()


def note(order: Order, answer: httpx.Response) -> bool:
    """Record an answer; tell whether it contains the outcome."""
    if answer.status_code in UNKNOWN_STATUSES:
        assert int(answer.headers["retry-after"]) >= 1
        order.unknown += 1
        return False
    if answer.is_success:
        order.outcomes.append(answer.json())
    else:
        assert answer.status_code in (404, 409), answer.text
        order.problems.append(answer.json())
    return True


async def submit(order: Order, **how: Any) -> httpx.Response:
    person, id, quantity = order.person, order.ticket_type_id, order.quantity
    if order.kind == "reserve_tickets":
        return await person.reserve(id, quantity, key=order.id, **how)
    if order.kind == "set_quantity":
        return await person.set(id, quantity, key=order.id, **how)
    return await person.release(id, key=order.id, **how)


@asynccontextmanager
async def audited(books: Books) -> AsyncIterator[None]:
    """I1 and I2, every 250 ms, as long as this is open."""

    async def audit() -> None:
        while True:
            await books.balance()
            await asyncio.sleep(AUDIT_EVERY_SECONDS)

    auditing = asyncio.create_task(audit())
    try:
        yield
        if auditing.done():
            auditing.result()
    finally:
        auditing.cancel()
        await asyncio.wait([auditing])


async def open_traffic(site: Site, queue: Queue, people: int = 10) -> Traffic:
    """Shoppers after few tickets of three types, so that some are refused."""
    organizer = await site.organizer()
    event = await organizer.event()
    ids = [(await organizer.ticket_type(event["id"], total=12))["id"] for _ in range(3)]
    shoppers = await site.people(people, queue)
    # Each gateway caches each user before anything breaks, so that no look-up is needed then.
    for shopper in shoppers:
        for via in range(len(site.urls)):
            await shopper.cart(via=via)
    return Traffic(shoppers, ids)


async def recovers(site: Site, queue: Queue | None = None, within_seconds: float = 15) -> None:
    """I14: a new command succeeds at every gateway, soon."""
    organizer = await site.organizer()
    give_up_at = time.monotonic() + within_seconds
    for via in range(len(site.urls)):
        while True:
            assert time.monotonic() < give_up_at, f"no recovery within {within_seconds} s"
            try:
                answer = await organizer.release(via=via, prefer="wait=1")
            except httpx.TransportError:
                pass
            else:
                if answer.status_code == 200:
                    break
                assert answer.status_code in (202, 503), answer.text
            await asyncio.sleep(PAUSE_SECONDS)
