"""All clients of a round, at the gateways and at the queue."""

import asyncio
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

import httpx

from reliability.chaos.books import Books
from reliability.chaos.courier import Courier
from reliability.chaos.http_buyers import REQUEST_SECONDS, HttpBuyer
from reliability.chaos.opening import Mint, Opening
from reliability.chaos.pace import Pace
from reliability.chaos.probe import Probe
from reliability.chaos.queue_buyers import QueueBuyers
from reliability.chaos.record import Record

QUEUE_GROUPS, USERS_A_GROUP = 12, 20
HTTP_BUYERS, PROBES = 16, 8
USERS = QUEUE_GROUPS * USERS_A_GROUP + HTTP_BUYERS + PROBES
MAX_CONNECTIONS = 200


class Buyer(Protocol):
    async def buy(self, is_open: Callable[[], bool], pace: Pace) -> None: ...


class Clients:
    """They begin to buy at once, until `close` lets them finish what they have begun."""

    def __init__(
        self,
        opening: Opening,
        gateway_urls: Sequence[str],
        mint: Mint,
        courier: Courier,
        books: Books,
        record: Record,
        pace: Pace,
        chance: random.Random,
    ) -> None:
        self._courier = courier
        self._open = True
        self._probing = True
        self._http = httpx.AsyncClient(
            timeout=REQUEST_SECONDS,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            trust_env=False,
        )
        users = iter(opening.user_ids)
        groups = [[next(users) for _ in range(USERS_A_GROUP)] for _ in range(QUEUE_GROUPS)]
        buyers = [
            QueueBuyers(group, opening.shop, courier, books, record, _child(chance))
            for group in groups
        ]
        at_gateways = [
            HttpBuyer(id, mint.token(id), gateway_urls, self._http, opening.shop, record, own)
            for id, own in [(next(users), _child(chance)) for _ in range(HTTP_BUYERS)]
        ]
        self._probe = Probe({id: mint.token(id) for id in users}, gateway_urls, self._http, record)
        everybody: list[Buyer] = [*buyers, *at_gateways]
        self._buying = [
            asyncio.create_task(buyer.buy(lambda: self._open, pace)) for buyer in everybody
        ]
        self._probes: asyncio.Task[None] | None = None
        self.probe()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        running = [*self._buying, *([self._probes] if self._probes else [])]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await self._http.aclose()

    def check(self) -> None:
        """Raise what has ended a client before its time: a bug of ours."""
        for task in self._buying:
            if task.done():
                task.result()

    async def close(self) -> None:
        """Let everybody finish what they have begun."""
        self._open = False
        await asyncio.gather(*self._buying)
        await self._courier.copies_are_out()
        await self.rest()

    def probe(self) -> None:
        self._probing = True
        self._probes = asyncio.create_task(self._probe.run(lambda: self._probing))

    async def rest(self) -> None:
        """Probe no more, until `probe`."""
        self._probing = False
        if self._probes is not None:
            await self._probes
        self._probes = None


def _child(chance: random.Random) -> random.Random:
    return random.Random(chance.random())
