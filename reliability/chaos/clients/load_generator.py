"""All clients of a round, at the gateways and at the queue."""

import asyncio
import random
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self

import httpx

from reliability.chaos.checks.database import Database
from reliability.chaos.checks.record import Record
from reliability.chaos.clients.fixtures import Fixtures, TokenIssuer
from reliability.chaos.clients.http_buyers import REQUEST_SECONDS, HttpBuyer
from reliability.chaos.clients.probe import Probe
from reliability.chaos.clients.queue_buyers import QueueBuyers
from reliability.chaos.clients.queue_client import QueueClient
from reliability.chaos.clients.rate_limiter import RateLimiter

QUEUE_GROUPS, USERS_A_GROUP = 12, 20
HTTP_BUYERS, PROBES = 16, 8
USERS = QUEUE_GROUPS * USERS_A_GROUP + HTTP_BUYERS + PROBES
MAX_CONNECTIONS = 200


class Buyer(Protocol):
    async def buy(self, is_open: Callable[[], bool], rate_limiter: RateLimiter) -> None: ...


class LoadGenerator:
    """Starts all clients at once; `close` lets them finish the commands in flight."""

    def __init__(
        self,
        fixtures: Fixtures,
        gateway_urls: Sequence[str],
        token_issuer: TokenIssuer,
        queue_client: QueueClient,
        database: Database,
        record: Record,
        rate_limiter: RateLimiter,
        rng: random.Random,
    ) -> None:
        self._queue_client = queue_client
        self._open = True
        self._probing = True
        self._http = httpx.AsyncClient(
            timeout=REQUEST_SECONDS,
            limits=httpx.Limits(max_connections=MAX_CONNECTIONS),
            trust_env=False,
        )
        users = iter(fixtures.user_ids)
        groups = [[next(users) for _ in range(USERS_A_GROUP)] for _ in range(QUEUE_GROUPS)]
        buyers = [
            QueueBuyers(group, fixtures.workload, queue_client, database, record, _child(rng))
            for group in groups
        ]
        at_gateways = [
            HttpBuyer(
                id, token_issuer.token(id), gateway_urls, self._http, fixtures.workload, record, own
            )
            for id, own in [(next(users), _child(rng)) for _ in range(HTTP_BUYERS)]
        ]
        self._probe = Probe(
            {id: token_issuer.token(id) for id in users}, gateway_urls, self._http, record
        )
        all_buyers: list[Buyer] = [*buyers, *at_gateways]
        self._buying = [
            asyncio.create_task(buyer.buy(lambda: self._open, rate_limiter)) for buyer in all_buyers
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
        """Raise the error that ended a client early: a bug in the client."""
        for task in self._buying:
            if task.done():
                task.result()

    async def close(self) -> None:
        """Let every client finish the commands in flight."""
        self._open = False
        await asyncio.gather(*self._buying)
        await self._queue_client.copies_published()
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


def _child(rng: random.Random) -> random.Random:
    return random.Random(rng.random())
