"""What the gateway asks of the process: which provider there is, and the page of an order."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.payments.conftest import Running
from tests.payments.gateway import AGENT_ID, ORDER_ID, ScriptedGateway, order_document, payment
from tests.payments.stripe.server import StripeServer

PAST = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()


async def test_each_provider_says_whether_it_is_real_and_who_its_agent_is(
    with_stripe: Running, with_demo: Running, without_provider: Running
) -> None:
    said = [(await each.get("/provider")).json() for each in (with_stripe, with_demo)]
    assert said == [
        {"provider": name, "is_real": False, "payment_agent_id": AGENT_ID}
        for name in ("stripe", "demo")
    ]
    assert (await without_provider.get("/provider")).json() == {
        "provider": None,
        "is_real": False,
        "payment_agent_id": None,
    }


async def test_a_pending_order_has_a_page_at_its_provider(
    with_stripe: Running, with_demo: Running
) -> None:
    answer = await with_stripe.post("/sessions", json={"order_id": ORDER_ID})
    assert answer.json()["url"] == "https://checkout.stripe.com/c/pay/cs_test_1"
    answer = await with_demo.post("/sessions", json={"order_id": ORDER_ID})
    assert answer.json() == {
        "url": f"https://tickets.example/payments/demo/{ORDER_ID}",
        "expires_at": None,
    }


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        (None, 404, "order_not_found"),
        (order_document(status="paid", payments=[payment(5000)]), 409, "order_not_pending"),
        (order_document(status="cancelled"), 409, "order_not_pending"),
        (order_document(status="expired"), 409, "order_not_pending"),
        (order_document(pay_by=PAST), 409, "payment_overdue"),
    ],
)
async def test_no_page_is_opened_for_an_order_that_waits_for_no_payment(
    with_stripe: Running,
    gateway: ScriptedGateway,
    stripe_server: StripeServer,
    order: dict[str, Any] | None,
    status: int,
    code: str,
) -> None:
    gateway.orders = {ORDER_ID: order} if order else {}

    answer = await with_stripe.post("/sessions", json={"order_id": ORDER_ID})

    said = order["status"] if order and code == "order_not_pending" else None
    document = {"code": code, "order_status": said}
    assert (answer.status_code, answer.json()) == (status, document)
    assert stripe_server.requests == []


async def test_without_a_provider_no_order_is_paid_online(without_provider: Running) -> None:
    answer = await without_provider.post("/sessions", json={"order_id": ORDER_ID})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_online_payment")
    assert (await without_provider.post("/payments/stripe")).status_code == 404
    assert (await without_provider.get(f"/payments/demo/{ORDER_ID}")).status_code == 404


async def test_the_demo_is_not_there_beside_a_real_provider(with_stripe: Running) -> None:
    assert (await with_stripe.get(f"/payments/demo/{ORDER_ID}")).status_code == 404


async def test_a_provider_that_does_not_answer_is_unavailable(
    with_stripe: Running, stripe_server: StripeServer
) -> None:
    stripe_server.broken = 500
    answer = await with_stripe.post("/sessions", json={"order_id": ORDER_ID})
    assert (answer.status_code, answer.json()) == (503, {"code": "payments_unavailable"})


@pytest.mark.parametrize("body", [b"", b"[]", b'{"order_id": "1"}', b"\xff"])
async def test_a_request_for_no_order_is_invalid(with_demo: Running, body: bytes) -> None:
    assert (await with_demo.post("/sessions", content=body)).status_code == 422


async def test_it_serves_health_and_metrics(with_demo: Running) -> None:
    assert (await with_demo.get("/health/live")).json() == {"status": "live"}
    assert (await with_demo.get("/health/ready")).json() == {"status": "ready"}
    await with_demo.post("/sessions", json={"order_id": ORDER_ID})
    metrics = (await with_demo.get("/metrics")).text
    assert 'holdfast_payments_sessions_total{result="opened"}' in metrics
