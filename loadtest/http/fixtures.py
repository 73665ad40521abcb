"""Creates buyers with tokens and an event on sale, in the fastest way that the options allow."""

import asyncio
import hmac
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import argon2
import jwt

from loadtest.fixtures import (
    EVENT_STARTS_IN,
    Account,
    Fixtures,
    event_name,
    new_accounts,
    set_fixtures_through_queue,
    ticket_type_names,
    unit_price,
)
from loadtest.http.client import HttpClient
from loadtest.options import HttpOptions
from loadtest.progress import Progress
from loadtest.queue.client import QueueClient

SETUP_CONNECTIONS = 4
"""Connections that register and log in at a time: a password costs the gateway 50 ms."""
TOKEN_SECONDS = 3_600
ISSUER = AUDIENCE = "holdfast"

Thing = TypeVar("Thing")
Made = TypeVar("Made")


async def set_fixtures_over_http(
    options: HttpOptions, progress: Progress, buyers: Sequence[Account] | None = None
) -> tuple[Fixtures, Sequence[str]]:
    """Return the fixtures, and a token for each buyer. Raises `PreparationError`, `BrokerError`."""
    password = secrets.token_urlsafe(24)
    async with AsyncExitStack() as stack:
        urls = [options.urls[number % len(options.urls)] for number in range(SETUP_CONNECTIONS)]
        clients = [await stack.enter_async_context(HttpClient(url)) for url in urls]
        if options.broker_url is None:
            return await _through_the_gateway(options, clients, password, progress)
        queue_client = await stack.enter_async_context(QueueClient(options.broker_url))
        if options.jwt_secret is not None:
            fixtures = await set_fixtures_through_queue(
                queue_client, options.workload, progress, buyers=buyers
            )
            organizer_token = mint(fixtures.organizer.user_id, options.jwt_secret)
            tokens = [mint(buyer.user_id, options.jwt_secret) for buyer in fixtures.buyers]
            return replace(fixtures, organizer_token=organizer_token), tokens
        fixtures = await set_fixtures_through_queue(
            queue_client, options.workload, progress, argon2.PasswordHasher().hash(password)
        )
        accounts = [fixtures.organizer, *fixtures.buyers]
        organizer_token, *tokens = await _log_in(accounts, clients, password, progress)
        return replace(fixtures, organizer_token=organizer_token), tokens


def mint(user_id: str, secret: str) -> str:
    """Sign a token as the gateway does."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + TOKEN_SECONDS, "iss": ISSUER}
    key_id = hmac.digest(secret.encode(), b"holdfast token key", "sha256")[:8].hex()
    return jwt.encode(claims | {"aud": AUDIENCE}, secret, "HS256", {"kid": key_id})


async def _through_the_gateway(
    options: HttpOptions, clients: Sequence[HttpClient], password: str, progress: Progress
) -> tuple[Fixtures, Sequence[str]]:
    async def register(client: HttpClient, account: Account) -> Account:
        body = {"email": account.email, "password": password}
        result = await client.post("/v1/users", body)
        return Account(result["user"]["id"], account.email)

    people = new_accounts(options.workload.buyers + 1)
    accounts = await _share(people, clients, register, progress, "registering buyers")
    tokens = await _log_in(accounts, clients, password, progress)
    organizer, organizers_token = accounts[0], tokens[0]
    now = datetime.now(UTC)
    body = {
        "name": event_name(),
        "starts_at": (now + EVENT_STARTS_IN).isoformat(),
        "ends_at": (now + EVENT_STARTS_IN + timedelta(hours=4)).isoformat(),
    }
    event_id = (await clients[0].post("/v1/events", body, organizers_token))["event"]["id"]

    async def put_on_sale(client: HttpClient, name: str) -> str:
        body = {
            "name": name,
            "total_quantity": options.workload.tickets,
            "unit_price": unit_price(options.workload),
            "sale_starts_at": (now - timedelta(hours=1)).isoformat(),
            "sale_ends_at": (now + EVENT_STARTS_IN).isoformat(),
        }
        path = f"/v1/events/{event_id}/ticket-types"
        result = await client.post(path, body, organizers_token)
        return str(result["ticket_type"]["id"])

    names = ticket_type_names(options.workload)
    ids = await _share(names, clients, put_on_sale, progress, "creating ticket types")
    return Fixtures(organizer, event_id, ids, accounts[1:], organizers_token), tokens[1:]


async def _log_in(
    accounts: Sequence[Account], clients: Sequence[HttpClient], password: str, progress: Progress
) -> list[str]:
    async def log_in(client: HttpClient, account: Account) -> str:
        return await client.log_in(account.email, password)

    return await _share(accounts, clients, log_in, progress, "logging buyers in")


async def _share(
    things: Sequence[Thing],
    clients: Sequence[HttpClient],
    make: Callable[[HttpClient, Thing], Awaitable[Made]],
    progress: Progress,
    what: str,
) -> list[Made]:
    """Process the items with all clients at once; the results keep the order."""
    made: dict[int, Made] = {}
    waiting = iter(enumerate(things))

    async def serve(client: HttpClient) -> None:
        for place, thing in waiting:
            made[place] = await make(client, thing)
            progress.step(what, len(made), len(things))

    async with asyncio.TaskGroup() as group:
        for client in clients:
            group.create_task(serve(client))
    return [made[place] for place in range(len(things))]
