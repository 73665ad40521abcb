"""Paying: from a cart to a paid order through a provider, with every process running."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from payments.stripe.events import AGENT, ORDER
from tests.deployment import Process, own_deployment
from tests.payments.serving import serving
from tests.payments.stripe.events import encoded, event, refund, session, signature
from tests.payments.stripe.server import SECRET_KEY, StripeServer
from tests.system.amqp import Document
from tests.system.clients import PASSWORD, Person, Site, eventually, refused, succeeded

PRICE = 2500
WEBHOOK_SECRET = "whsec_of_the_tests"
SESSION = re.compile(r'name="session" value="([0-9a-f-]{36})"')


@pytest.fixture(scope="module")
async def shop(http: httpx.AsyncClient, template_url: str) -> AsyncIterator[Site]:
    """A site with the demo provider."""
    async with own_deployment(template_url) as deployment:
        await deployment.start(demo_payments=True)
        yield Site(deployment, http)


@pytest.fixture(scope="module")
async def agent_id(shop: Site) -> str:
    """The demo's payment agent."""
    provider = (await shop.http.get(f"{shop.urls[0]}/v1/payment-provider")).json()
    assert (provider["provider"], provider["is_real"]) == ("demo", False)
    return str(provider["payment_agent_id"])


async def order_of(shop: Site, agent_id: str | None, quantity: int = 2) -> tuple[Person, Document]:
    """Return a buyer and a pending order of an event with this payment agent."""
    organizer = await shop.organizer()
    event_id = (await organizer.event(payment_agent_id=agent_id))["id"]
    ticket_type = await organizer.ticket_type(event_id, unit_price=PRICE)
    buyer = await shop.newcomer()
    succeeded(await buyer.reserve(ticket_type["id"], quantity))
    answer = await buyer.ask("POST", "/orders", json={"event_id": event_id})
    order: Document = succeeded(answer, 201)["order"]
    assert (order["status"], order["total"]) == ("pending_payment", quantity * PRICE)
    return buyer, order


async def page_of(buyer: Person, order: Document) -> str:
    answer = await buyer.ask("POST", f"/orders/{order['id']}/payment-session")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["url"])


async def press(http: httpx.AsyncClient, page: str, action: str) -> httpx.Response:
    """Open a page of the demo, as a browser does, and press a button."""
    shown = (await http.get(page)).text
    found = SESSION.search(shown)
    assert found is not None, shown
    form = {"action": action, "session": found[1]}
    return await http.post(page, data=form, follow_redirects=True)


async def read(person: Person, order: Document) -> Document:
    answer = await person.get(f"/orders/{order['id']}")
    assert answer.status_code == 200, answer.text
    document: Document = answer.json()
    return document


async def test_a_buyer_pays_an_order_on_the_page_of_its_provider(shop: Site, agent_id: str) -> None:
    buyer, order = await order_of(shop, agent_id)

    answer = await press(shop.http, await page_of(buyer, order), "pay")

    assert "The payment is recorded." in answer.text
    paid = await read(buyer, order)
    assert (paid["status"], paid["paid"], paid["refund_due"]) == ("paid", 2 * PRICE, 0)
    assert [each["disposition"] for each in paid["payments"]] == ["accepted"]
    again = await buyer.ask("POST", f"/orders/{order['id']}/payment-session")
    assert refused(again, 409, "order_not_pending")["order_status"] == "paid"


async def test_what_is_paid_twice_is_due_back_and_refunded(shop: Site, agent_id: str) -> None:
    buyer, order = await order_of(shop, agent_id)
    page = await page_of(buyer, order)

    await press(shop.http, page, "pay_twice")
    doubled = await read(buyer, order)
    assert (doubled["status"], doubled["refund_due"]) == ("paid", 2 * PRICE)
    assert [each["reason"] for each in doubled["payments"]] == [None, "already_paid"]

    await press(shop.http, page, "refund")
    refunded = await read(buyer, order)
    assert (refunded["status"], refunded["refunded"], refunded["refund_due"]) == (
        "paid",
        2 * PRICE,
        0,
    )


async def test_a_payment_that_fails_leaves_the_order_as_it_was(shop: Site, agent_id: str) -> None:
    buyer, order = await order_of(shop, agent_id)
    before = await read(buyer, order)
    await press(shop.http, await page_of(buyer, order), "fail")
    assert await read(buyer, order) == before


async def test_only_the_buyer_gets_the_page_of_an_order(shop: Site, agent_id: str) -> None:
    _, order = await order_of(shop, agent_id)
    for person in (await shop.newcomer(), await shop.organizer()):
        answer = await person.ask("POST", f"/orders/{order['id']}/payment-session")
        refused(answer, 404, "order_not_found")


async def test_an_event_with_another_payment_agent_cannot_be_paid_there(shop: Site) -> None:
    buyer, order = await order_of(shop, None)
    answer = await buyer.ask("POST", f"/orders/{order['id']}/payment-session")
    refused(answer, 409, "no_online_payment")
    page = await shop.http.get(f"{shop.deployment.payments[0].url}/payments/demo/{order['id']}")
    assert page.status_code == 404


async def test_without_the_payments_process_the_answer_is_503_and_all_else_works(
    shop: Site, agent_id: str
) -> None:
    buyer, order = await order_of(shop, agent_id)
    (process,) = shop.deployment.payments
    await process.kill()
    try:
        answer = await buyer.ask("POST", f"/orders/{order['id']}/payment-session")
        refused(answer, 503, "payments_unavailable")
        assert (await read(buyer, order))["status"] == "pending_payment"
    finally:
        await process.start()
    await press(shop.http, await page_of(buyer, order), "pay")
    assert (await read(buyer, order))["status"] == "paid"


@dataclass
class AtStripe:
    """A payments process with keys of Stripe, and the Stripe that it talks to."""

    process: Process
    stripe: StripeServer
    agent_id: str
    http: httpx.AsyncClient

    def ours(self, order: Document) -> dict[str, str]:
        return {ORDER: order["id"], AGENT: self.agent_id}

    async def send(self, document: dict[str, Any]) -> int:
        """Send an event as Stripe does; return the status of the answer."""
        body = encoded(document)
        headers = {"Stripe-Signature": signature(body, WEBHOOK_SECRET)}
        url = f"{self.process.url}/payments/stripe"
        return (await self.http.post(url, content=body, headers=headers)).status_code

    def payment(self, order: Document) -> dict[str, Any]:
        """Return the event that says that the order was paid."""
        paid = session(
            metadata=self.ours(order),
            amount_total=order["total"],
            payment_intent=f"pi_{order['id']}",
        )
        return event("checkout.session.completed", paid)


@pytest.fixture(scope="module")
async def at_stripe(shop: Site) -> AsyncIterator[AtStripe]:
    stripe = StripeServer()
    async with serving(stripe.app) as url:
        process = shop.deployment.add(
            "payments",
            [],
            HOLDFAST_GATEWAY_URL=shop.urls[0],
            HOLDFAST_PAYMENTS_PASSWORD=PASSWORD,
            HOLDFAST_STRIPE_SECRET_KEY=SECRET_KEY,
            HOLDFAST_STRIPE_WEBHOOK_SECRET=WEBHOOK_SECRET,
            HOLDFAST_STRIPE_API_BASE=url,
        )
        await process.start()
        provider = (await shop.http.get(f"{process.url}/provider")).json()
        yield AtStripe(process, stripe, provider["payment_agent_id"], shop.http)
        assert await process.stop() == 0


async def test_an_order_is_paid_and_refunded_by_events_of_stripe(
    shop: Site, at_stripe: AtStripe
) -> None:
    buyer, order = await order_of(shop, at_stripe.agent_id)
    opened = await shop.http.post(
        f"{at_stripe.process.url}/sessions", json={"order_id": order["id"]}
    )
    assert opened.json()["url"].startswith("https://checkout.stripe.com/")

    # Stripe repeats what it was not answered in time.
    statuses = [await at_stripe.send(at_stripe.payment(order)) for _ in range(3)]
    assert statuses == [200, 200, 200]
    paid = await read(buyer, order)
    assert (paid["status"], paid["paid"], len(paid["payments"])) == ("paid", 2 * PRICE, 1)

    intent = f"pi_{order['id']}"
    at_stripe.stripe.intents[intent] = {"metadata": at_stripe.ours(order)}
    at_stripe.stripe.refunds[intent] = [refund(1, PRICE, payment_intent=intent)]
    refunding = event("charge.refunded", {"object": "charge", "payment_intent": intent})
    # Refunded before the organizer has released the tickets: Stripe repeats it for days.
    assert await at_stripe.send(refunding) == 503
    organizer = await shop.organizer()
    items = [{"ticket_type_id": order["items"][0]["ticket_type_id"], "quantity": 1}]
    released = await organizer.ask("POST", f"/orders/{order['id']}/releases", json={"items": items})
    assert succeeded(released)["order"]["refund_due"] == PRICE
    assert [await at_stripe.send(refunding) for _ in range(2)] == [200, 200]
    refunded = await read(buyer, order)
    assert (refunded["refunded"], refunded["refund_due"]) == (PRICE, 0)
    assert [each["refund_id"] for each in refunded["refunds"]] == ["re_1"]


async def test_a_payment_is_recorded_once_the_worker_is_there_again(
    shop: Site, at_stripe: AtStripe
) -> None:
    buyer, order = await order_of(shop, at_stripe.agent_id)
    (worker,) = shop.deployment.workers
    await worker.kill()
    try:
        assert await at_stripe.send(at_stripe.payment(order)) == 503
    finally:
        await worker.start()
    assert await at_stripe.send(at_stripe.payment(order)) == 200
    paid = await eventually(lambda: read(buyer, order), lambda order: order["status"] == "paid", 10)
    assert len(paid["payments"]) == 1
