"""Buyers with tokens and an event on sale, by the fastest way that the options allow."""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import argon2
import jwt

from loadtest.counter import Counter
from loadtest.desk import Desk
from loadtest.options import HttpOptions
from loadtest.progress import Progress
from loadtest.stage import (
    EVENT_STARTS_IN,
    Account,
    Stage,
    event_name,
    new_accounts,
    set_stage_through_queue,
    ticket_type_names,
)

CLERKS = 4
"""So many connections register and log in at a time: passwords cost the gateway 50 ms each."""
TOKEN_SECONDS = 3_600
ISSUER = AUDIENCE = "holdfast"

Thing = TypeVar("Thing")
Made = TypeVar("Made")


async def set_stage_over_http(
    options: HttpOptions, progress: Progress
) -> tuple[Stage, Sequence[str]]:
    """Return the stage, and a token for each buyer. Raises `PreparationError`, `BrokerError`."""
    password = secrets.token_urlsafe(24)
    async with AsyncExitStack() as stack:
        urls = [options.urls[number % len(options.urls)] for number in range(CLERKS)]
        counters = [await stack.enter_async_context(Counter(url)) for url in urls]
        if options.broker_url is None:
            return await _through_the_gateway(options, counters, password, progress)
        desk = await stack.enter_async_context(Desk(options.broker_url))
        if options.jwt_secret is not None:
            stage = await set_stage_through_queue(desk, options.workload, progress)
            return stage, [mint(buyer.user_id, options.jwt_secret) for buyer in stage.buyers]
        stage = await set_stage_through_queue(
            desk, options.workload, progress, argon2.PasswordHasher().hash(password)
        )
        return stage, await _log_in(stage.buyers, counters, password, progress)


def mint(user_id: str, secret: str) -> str:
    """Sign a token as the gateway does."""
    now = int(time.time())
    claims = {"sub": user_id, "iat": now, "exp": now + TOKEN_SECONDS, "iss": ISSUER}
    return jwt.encode(claims | {"aud": AUDIENCE}, secret, "HS256")


async def _through_the_gateway(
    options: HttpOptions, counters: Sequence[Counter], password: str, progress: Progress
) -> tuple[Stage, Sequence[str]]:
    async def register(counter: Counter, account: Account) -> Account:
        body = {"email": account.email, "password": password}
        result = await counter.post("/v1/users", body)
        return Account(result["user"]["id"], account.email)

    people = new_accounts(options.workload.buyers + 1)
    accounts = await _share(people, counters, register, progress, "registering buyers")
    tokens = await _log_in(accounts, counters, password, progress)
    organizer, organizers_token = accounts[0], tokens[0]
    now = datetime.now(UTC)
    body = {
        "name": event_name(),
        "starts_at": (now + EVENT_STARTS_IN).isoformat(),
        "ends_at": (now + EVENT_STARTS_IN + timedelta(hours=4)).isoformat(),
    }
    event_id = (await counters[0].post("/v1/events", body, organizers_token))["event"]["id"]

    async def put_on_sale(counter: Counter, name: str) -> str:
        body = {
            "name": name,
            "total_quantity": options.workload.tickets,
            "sale_starts_at": (now - timedelta(hours=1)).isoformat(),
            "sale_ends_at": (now + EVENT_STARTS_IN).isoformat(),
        }
        path = f"/v1/events/{event_id}/ticket-types"
        result = await counter.post(path, body, organizers_token)
        return str(result["ticket_type"]["id"])

    names = ticket_type_names(options.workload)
    ids = await _share(names, counters, put_on_sale, progress, "creating ticket types")
    return Stage(organizer, event_id, ids, accounts[1:]), tokens[1:]


async def _log_in(
    accounts: Sequence[Account], counters: Sequence[Counter], password: str, progress: Progress
) -> list[str]:
    async def log_in(counter: Counter, account: Account) -> str:
        return await counter.log_in(account.email, password)

    return await _share(accounts, counters, log_in, progress, "logging buyers in")


async def _share(
    things: Sequence[Thing],
    counters: Sequence[Counter],
    make: Callable[[Counter, Thing], Awaitable[Made]],
    progress: Progress,
    what: str,
) -> list[Made]:
    """Let each counter take the next thing as soon as it is free; results keep the order."""
    made: dict[int, Made] = {}
    waiting = iter(enumerate(things))

    async def serve(counter: Counter) -> None:
        for place, thing in waiting:
            made[place] = await make(counter, thing)
            progress.step(what, len(made), len(things))

    async with asyncio.TaskGroup() as group:
        for counter in counters:
            group.create_task(serve(counter))
    return [made[place] for place in range(len(things))]
