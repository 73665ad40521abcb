"""Clients that guess passwords, each from an address of its own."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx

from tests.system.clients import Site


class Guesser:
    """A client with an address of its own."""

    def __init__(self, site: Site, address: str) -> None:
        self.url = f"{site.urls[0]}/v1/tokens"
        transport = httpx.AsyncHTTPTransport(local_address=address)
        self.http = httpx.AsyncClient(transport=transport, timeout=20, trust_env=False)

    async def register(self, email: str, password: str, key: str) -> httpx.Response:
        body = {"email": email, "password": password}
        headers = {"Idempotency-Key": key, "Prefer": "wait=10"}
        url = self.url.replace("tokens", "users")
        return await self.http.post(url, json=body, headers=headers)

    async def log_in(self, email: str, password: str, **headers: str) -> httpx.Response:
        form = {"username": email, "password": password}
        return await self.http.post(self.url, data=form, headers=headers)


@asynccontextmanager
async def guessers_of(site: Site) -> AsyncIterator[Callable[[str], Guesser]]:
    """Yield what makes a guesser at an address."""
    made: list[Guesser] = []

    def at(address: str) -> Guesser:
        made.append(Guesser(site, address))
        return made[-1]

    yield at
    for guesser in made:
        await guesser.http.aclose()
