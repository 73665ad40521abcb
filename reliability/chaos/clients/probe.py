"""Sends a new command many times a second, so that a recovery is noticed at once."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

import httpx

from reliability.chaos.checks.record import Entry, Record
from reliability.chaos.clients.http_buyers import ACCEPTED

EVERY_SECONDS = 0.1
MAX_IN_FLIGHT_COMMANDS = 40


class Probe:
    """Releases carts that are empty: nothing but a fault keeps that from succeeding."""

    def __init__(
        self,
        tokens: Mapping[str, str],
        gateway_urls: Sequence[str],
        http: httpx.AsyncClient,
        record: Record,
    ) -> None:
        self._tokens = tokens
        self._urls = gateway_urls
        self._http = http
        self._record = record
        self._under_way: set[asyncio.Task[None]] = set()

    async def run(self, is_open: Callable[[], bool]) -> None:
        users, turn = list(self._tokens), 0
        while is_open():
            if len(self._under_way) < MAX_IN_FLIGHT_COMMANDS:
                turn += 1
                task = asyncio.ensure_future(self._probe(users[turn % len(users)], turn))
                self._under_way.add(task)
                task.add_done_callback(self._under_way.discard)
            await asyncio.sleep(EVERY_SECONDS)
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _probe(self, user_id: str, turn: int) -> None:
        entry = self._record.begin(Entry(user_id, "release_cart", {}, "http"))
        headers = {
            "Authorization": f"Bearer {self._tokens[user_id]}",
            "Idempotency-Key": entry.id,
            "Prefer": "wait=2",
        }
        try:
            url = self._urls[turn % len(self._urls)]
            answer = await self._http.delete(f"{url}/v1/cart", headers=headers)
        except httpx.TransportError as error:
            self._record.doubt(entry, type(error).__name__)
            return
        self._record.answers[str(answer.status_code)] += 1
        self._record.answered(entry, answer.status_code)
        if answer.status_code == 200:
            self._record.hear(entry, answer.text)
        elif answer.status_code == ACCEPTED:
            entry.accepted = True
        else:
            entry.unknown += 1
