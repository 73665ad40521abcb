"""A deployment on least-privilege accounts: it serves, and applies allowed accounts' commands."""

import asyncio
import json
from typing import Any

import aio_pika
import pytest

from shared.ids import new_id
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY
from tests.system.amqp import Document, command
from tests.system.clients import SOME_HASH, Site, eventually, fresh_email, from_now, succeeded
from tests.system.permissions.publisher import ANSWER_SECONDS, Publisher


async def test_a_reservation_of_the_gateway_is_applied(guarded_site: Site) -> None:
    """Registration, log-in, an event, tickets, a hold and its release: all that users do."""
    organizer = await guarded_site.organizer()
    tickets = await organizer.sale(total=2)
    buyer = await guarded_site.newcomer()

    succeeded(await buyer.reserve(tickets, 2))
    assert await buyer.holds(via=1) == {tickets: 2}
    succeeded(await organizer.change(tickets, total_quantity=3))
    succeeded(await buyer.set(tickets, 1))
    succeeded(await buyer.release())
    assert await buyer.holds() == {}
    succeeded(await organizer.close((await organizer.event())["id"], "cancel"))


async def test_all_that_becomes_of_an_order_is_applied(guarded_site: Site) -> None:
    """Checking out, paying, releasing, refunding, extending; the sweep of a cancelled event."""
    organizer, buyer = await guarded_site.organizer(), await guarded_site.newcomer()
    event_id = (await organizer.event())["id"]
    tickets = (await organizer.ticket_type(event_id, unit_price=100))["id"]

    async def order() -> str:
        succeeded(await buyer.reserve(tickets, 2))
        checked_out = await buyer.ask("POST", "/orders", json={"event_id": event_id})
        return str(succeeded(checked_out, 201)["order"]["id"])

    async def run(order_id: str, what: str, status: int, **body: Any) -> None:
        path = f"/orders/{order_id}/{what}"
        succeeded(await organizer.ask("POST", path, json=body), status)

    first, second, third = await order(), await order(), await order()
    await run(first, "payments", 201, payment_id="p", amount=200, currency="EUR")
    await run(first, "releases", 200, items=[{"ticket_type_id": tickets, "quantity": 1}])
    await run(first, "refunds", 201, refund_id="r", amount=100)
    await run(second, "extend", 200, pay_by=from_now(days=1))
    await run(third, "cancel", 200)
    succeeded(await organizer.close(event_id, "cancel"))

    async def statuses() -> set[str]:
        page = await organizer.get(f"/events/{event_id}/orders", via=1)
        return {each["status"] for each in page.json()["items"]}

    await eventually(statuses, lambda found: found == {"cancelled"}, ANSWER_SECONDS)


@pytest.mark.parametrize("account", ["gateway", "operator"])
async def test_a_command_of_an_allowed_account_is_applied(
    publisher: Publisher, account: str
) -> None:
    await publisher.hand_in(account, user_id=account)

    await eventually(publisher.held, lambda held: held == 1, ANSWER_SECONDS)


@pytest.mark.parametrize(
    ("account", "exchange", "claims", "said"),
    [
        ("worker", COMMANDS_EXCHANGE, {"user_id": "worker"}, "the account worker"),
        ("worker", "", {"user_id": "worker"}, "the account worker"),
        ("worker", "", {}, "an account that is not named"),
        ("operator", COMMANDS_EXCHANGE, {}, "an account that is not named"),
        ("gateway", COMMANDS_EXCHANGE, {}, "an account that is not named"),
        ("administrator", COMMANDS_EXCHANGE, {"user_id": "holdfast"}, "the account holdfast"),
    ],
)
async def test_a_command_of_another_account_is_set_aside(
    publisher: Publisher, account: str, exchange: str, claims: dict[str, str], said: str
) -> None:
    await publisher.hand_in(account, exchange, **claims)

    letter = await publisher.dead_letter()
    assert letter.headers["x-reason"] == "not_allowed"
    assert letter.headers["x-error"] == f"user_id: {said} may not send commands"
    assert await publisher.held() == 0
    succeeded(await publisher.buyer.reserve(publisher.tickets, 1))


async def test_a_sender_that_is_not_allowed_gets_a_reply(
    guarded_site: Site, brokers: dict[str, str]
) -> None:
    """As the sender of an unreadable command does."""
    body = [command("register_user", new_id(), email=fresh_email(), password_hash=SOME_HASH)]
    replies: asyncio.Queue[bytes] = asyncio.Queue()
    async with await aio_pika.connect(brokers["operator"]) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)

        async def take(message: aio_pika.abc.AbstractIncomingMessage) -> None:
            replies.put_nowait(message.body)

        await queue.consume(take, no_ack=True)
        message = aio_pika.Message(json.dumps(body).encode(), reply_to=queue.name)
        exchange = await channel.get_exchange(COMMANDS_EXCHANGE, ensure=False)
        await exchange.publish(message, COMMANDS_ROUTING_KEY)
        async with asyncio.timeout(ANSWER_SECONDS):
            (outcome,) = json.loads(await replies.get())

    refusal: Document = outcome["refusal"]
    assert refusal["code"] == "unprocessable"
    assert "may not send commands" in refusal["detail"]
