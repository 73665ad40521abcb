"""Buyers in a rush: each sends one reservation after the other, and every answer is timed."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import httpx

from shared.ids import new_id
from tests.system.amqp import Queue
from tests.system.books import Books
from tests.system.clients import Person, Site, eventually, refused, succeeded

PEOPLE = 8
MANY_CLIENTS = 40
WAITS_SECONDS = (0, 1, 5)
"""0 stands for `respond-async`."""
PAUSE_SECONDS = 0.02
"""Pause after an answer, so that a buyer does not send a thousand requests a second."""
SETTLED_WITHIN_SECONDS = 20
TICKETS = 1_000_000


@dataclass(frozen=True)
class Attempt:
    """A command that is sent once."""

    person: Person
    ticket_type_id: str
    command_id: str
    wait_seconds: int
    begun_at: float
    answered_at: float
    answer: httpx.Response

    @property
    def seconds(self) -> float:
        return self.answered_at - self.begun_at

    def is_refused(self) -> bool:
        """Whether the answer says that the broker is unavailable; other rejections are errors."""
        if self.answer.status_code in (200, 202):
            return False
        assert refused(self.answer, 503, "broker_unavailable") == {"command_id": self.command_id}
        assert int(self.answer.headers["retry-after"]) >= 1
        return True

    async def again(self, via: int) -> httpx.Response:
        return await self.person.reserve(self.ticket_type_id, key=self.command_id, via=via)


class Rush:
    """Clients of a few users, at all gateways, with every preference."""

    def __init__(
        self, people: Sequence[Person], ticket_type_id: str, gateways: int, clients: int
    ) -> None:
        self._people = people
        self._number_of_clients = clients
        self._ticket_type_id = ticket_type_id
        self._gateways = gateways
        self._open = True
        self._clients: list[asyncio.Task[None]] = []
        self.attempts: list[Attempt] = []
        """In the order of their answers; complete once the rush is over."""

    async def __aenter__(self) -> Self:
        self._clients = [asyncio.create_task(self._buy(n)) for n in range(self._number_of_clients)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let all buyers get their last answer."""
        self._open = False
        await asyncio.gather(*self._clients)

    async def progress(self, number: int) -> None:
        """Wait until so many more were accepted."""

        async def accepted() -> int:
            return sum(not each.is_refused() for each in self.attempts)

        wanted = await accepted() + number
        await eventually(accepted, lambda count: count >= wanted, SETTLED_WITHIN_SECONDS)

    async def settle(self, books: Books) -> None:
        """Wait until each accepted command has its outcome and took effect once, no more or less.

        A command whose outcome is unknown may have one as well.
        """
        accepted = {each.command_id for each in self.attempts if not each.is_refused()}

        async def differences() -> list[object]:
            recorded = await self._recorded(books)
            held = await books.held_by([person.id for person in self._people])
            taken = Counter(
                each.person.id
                for each in self.attempts
                if recorded.get(each.command_id, {}).get("status") == "succeeded"
            )
            return [
                *accepted - recorded.keys(),
                *((id, lines) for id, lines in held.items() if sum(lines.values()) != taken[id]),
            ]

        await eventually(differences, lambda found: not found, SETTLED_WITHIN_SECONDS)
        recorded = await self._recorded(books)
        for each in self.attempts:
            if each.answer.status_code == 200:
                succeeded(each.answer)
                assert each.answer.json() == recorded[each.command_id]

    async def _recorded(self, books: Books) -> dict[str, dict[str, object]]:
        documents = await books.outcomes([each.command_id for each in self.attempts])
        return {id: json.loads(document) for id, document in documents.items()}

    async def _buy(self, number: int) -> None:
        person = self._people[number % len(self._people)]
        via = number % self._gateways
        wait_seconds = WAITS_SECONDS[number // self._gateways % len(WAITS_SECONDS)]
        prefer = f"wait={wait_seconds}" if wait_seconds else "respond-async"
        while self._open:
            key, begun_at = new_id(), time.monotonic()
            answer = await person.reserve(self._ticket_type_id, key=key, via=via, prefer=prefer)
            answered_at = time.monotonic()
            await asyncio.sleep(PAUSE_SECONDS)
            if answer.status_code == 429:
                # The user's bound, which holds until a worker has answered; nothing was accepted.
                refused(answer, 429, "too_many_commands")
                continue
            attempt = Attempt(
                person, self._ticket_type_id, key, wait_seconds, begun_at, answered_at, answer
            )
            self.attempts.append(attempt)


async def open_rush(site: Site, clients: int = MANY_CLIENTS) -> Rush:
    """Buyers of tickets that do not run out."""
    async with Queue(site.deployment.broker_url) as queue:
        people = await site.people(PEOPLE, queue)
    tickets = await (await site.organizer()).sale(total=TICKETS)
    # Each gateway caches each user before anything breaks, so that no look-up is needed then.
    for person in people:
        for via in range(len(site.urls)):
            await person.cart(via=via)
    return Rush(people, tickets, len(site.urls), clients)
