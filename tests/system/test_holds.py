"""Expiring holds and stale keys, in a deployment where both times are short."""

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from shared.ids import id_at
from tests.deployment import own_deployment
from tests.system.amqp import Queue, reservation
from tests.system.books import Books
from tests.system.clients import Site, eventually, refused, succeeded

EMPTY: dict[str, Any] = {"id": None, "status": "empty", "expires_at": None, "items": []}
HOLD_SECONDS = 1
MAX_HOLD_SECONDS = 2
WINDOW_SECONDS = 60


@pytest.fixture(scope="module")
async def brief(http: httpx.AsyncClient, template_url: str) -> AsyncIterator[Site]:
    async with (
        own_deployment(
            template_url,
            hold_seconds=str(HOLD_SECONDS),
            max_hold_seconds=str(MAX_HOLD_SECONDS),
            command_window_seconds=str(WINDOW_SECONDS),
        ) as deployment,
    ):
        await deployment.start(gateways=1, workers=1)
        yield Site(deployment, http)


@pytest.fixture(scope="module")
async def brief_queue(brief: Site) -> AsyncIterator[Queue]:
    async with Queue(brief.deployment.broker_url) as connected:
        yield connected


@pytest.fixture(scope="module")
async def brief_books(brief: Site) -> AsyncIterator[Books]:
    async with Books(brief.deployment.database_url) as opened:
        yield opened


async def until(instant: str) -> None:
    """Gateways and database use this machine's clock."""
    remaining = datetime.fromisoformat(instant) - datetime.now(UTC)
    await asyncio.sleep(max(0.0, remaining.total_seconds()))


async def test_an_expired_cart_reads_as_empty_from_that_instant(
    brief: Site, brief_queue: Queue
) -> None:
    tickets = await (await brief.organizer()).sale()
    alice = await brief.person(brief_queue)
    answer = await alice.reserve(tickets, 2)
    cart = succeeded(answer)["cart"]
    held = datetime.fromisoformat(cart["expires_at"]) - datetime.fromisoformat(
        answer.json()["decided_at"]
    )
    assert held.total_seconds() == HOLD_SECONDS
    assert await alice.cart() == cart
    await until(cart["expires_at"])
    assert await alice.cart() == EMPTY


async def test_no_buyer_is_refused_because_of_an_expired_hold(
    brief: Site, brief_queue: Queue, brief_books: Books
) -> None:
    """The request comes at the moment of expiry, before any sweep can have run."""
    organizer = await brief.organizer()
    event = await organizer.event()
    sales = [(await organizer.ticket_type(event["id"], total=1))["id"] for _ in range(10)]
    holders = await brief.people(10, brief_queue)
    buyers = await brief.people(10, brief_queue)
    held = await asyncio.gather(
        *(holder.reserve(sale) for holder, sale in zip(holders, sales, strict=True))
    )
    early = await asyncio.gather(
        *(buyer.reserve(sale) for buyer, sale in zip(buyers, sales, strict=True))
    )
    for answer in early:
        refused(answer, 409, "insufficient_availability")

    async def buy(number: int) -> httpx.Response:
        await until(succeeded(held[number])["cart"]["expires_at"])
        return await buyers[number].reserve(sales[number])

    for answer in await asyncio.gather(*(buy(number) for number in range(10))):
        succeeded(answer)
    await brief_books.balance()


async def test_an_expired_cart_is_not_changed_but_opened_anew(
    brief: Site, brief_queue: Queue, brief_books: Books
) -> None:
    tickets = await (await brief.organizer()).sale()
    alice = await brief.person(brief_queue)
    old = succeeded(await alice.reserve(tickets, 5))["cart"]
    await until(old["expires_at"])
    refused(await alice.release(tickets), 404, "item_not_in_cart")
    new = succeeded(await alice.reserve(tickets, 1))["cart"]
    assert new["id"] != old["id"]
    assert new["expires_at"] > old["expires_at"]
    assert [item["quantity"] for item in new["items"]] == [1]
    assert await brief_books.reserved(tickets) == 1
    await brief_books.balance()


async def test_later_holds_do_not_put_off_the_expiry(brief: Site, brief_queue: Queue) -> None:
    tickets = await (await brief.organizer()).sale()
    alice = await brief.person(brief_queue)
    expires_at = succeeded(await alice.reserve(tickets))["cart"]["expires_at"]
    assert succeeded(await alice.reserve(tickets))["cart"]["expires_at"] == expires_at
    await until(expires_at)
    assert await alice.cart() == EMPTY


async def test_the_sweep_gives_back_tickets_of_abandoned_carts(
    brief: Site, brief_queue: Queue, brief_books: Books
) -> None:
    """I9: within 5 seconds."""
    tickets = await (await brief.organizer()).sale(total=30)
    people = await brief.people(10, brief_queue)
    for answer in await asyncio.gather(*(person.reserve(tickets, 3) for person in people)):
        succeeded(answer)
    assert await brief_books.reserved(tickets) == 30

    async def reserved() -> int:
        return await brief_books.reserved(tickets)

    await eventually(reserved, lambda count: count == 0, within_seconds=HOLD_SECONDS + 5)
    await brief_books.balance()


async def test_the_window_of_the_keys_is_what_was_set(brief: Site, brief_queue: Queue) -> None:
    tickets = await (await brief.organizer()).sale()
    alice = await brief.person(brief_queue)
    now_ms = time.time_ns() // 1_000_000
    young, old = [id_at(now_ms - (WINDOW_SECONDS + more) * 1_000) for more in (-20, 2)]
    succeeded(await alice.reserve(tickets, key=young))
    refused(await alice.reserve(tickets, key=old), 409, "stale_command")
    refused(await alice.get(f"/commands/{old}"), 404, "command_not_found")
    outcome = await brief_queue.decide_one(reservation(alice.id, tickets, command_id=old))
    assert outcome["refusal"]["code"] == "stale_command"


async def test_a_cart_can_be_extended_up_to_its_limit_and_expires_then(
    brief: Site, brief_queue: Queue
) -> None:
    tickets = await (await brief.organizer()).sale()
    alice = await brief.person(brief_queue)
    opened = succeeded(await alice.reserve(tickets))["cart"]["expires_at"]
    limit = datetime.fromisoformat(opened) + timedelta(seconds=MAX_HOLD_SECONDS - HOLD_SECONDS)
    cart: Any = {}
    while (answer := await alice.extend()).status_code == 200:
        cart = succeeded(answer)["cart"]
        assert datetime.fromisoformat(cart["expires_at"]) <= limit
        await asyncio.sleep(HOLD_SECONDS / 3)
    assert refused(answer, 409, "hold_limit_reached")["expires_at"] == cart["expires_at"]
    assert datetime.fromisoformat(cart["expires_at"]) == limit
    await until(cart["expires_at"])
    assert await alice.cart() == EMPTY
