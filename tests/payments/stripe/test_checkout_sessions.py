"""Checkout sessions: what the official client asks Stripe for, once for each order."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from payments.provider import NotPayableError, ProviderUnavailableError
from payments.stripe.adapter import MAX_NAME_CHARACTERS, StripeCheckout, tickets
from payments.stripe.events import AGENT, ORDER
from shared.orders import Order
from tests.payments.gateway import AGENT_ID, ORDER_ID, order_document, payment
from tests.payments.stripe.server import StripeServer


def an_order(pay_in_seconds: float | None = None, **changes: Any) -> Order:
    if pay_in_seconds is not None:
        pay_by = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=pay_in_seconds)
        changes["pay_by"] = pay_by.isoformat()
    return TypeAdapter(Order).validate_python(order_document(**changes))


async def test_a_session_takes_what_is_due_until_the_time_to_pay_is_over(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer
) -> None:
    order = an_order()

    session = await stripe_checkout.open_session(order)

    assert session.url == "https://checkout.stripe.com/c/pay/cs_test_1"
    assert session.expires_at == order.pay_by
    back = f"https://tickets.example/?order={ORDER_ID}"
    assert stripe_server.requests == [
        {
            "mode": "payment",
            "client_reference_id": ORDER_ID,
            f"metadata[{ORDER}]": ORDER_ID,
            f"metadata[{AGENT}]": AGENT_ID,
            f"payment_intent_data[metadata][{ORDER}]": ORDER_ID,
            f"payment_intent_data[metadata][{AGENT}]": AGENT_ID,
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": "eur",
            "line_items[0][price_data][unit_amount]": "5000",
            "line_items[0][price_data][product_data][name]": "2 x Standing",
            "adaptive_pricing[enabled]": "false",
            "success_url": back,
            "cancel_url": back,
            "expires_at": f"{order.pay_by.timestamp():.0f}",
        }
    ]


async def test_an_order_has_one_session_however_often_it_is_asked_for(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer
) -> None:
    order = an_order()
    sessions = [await stripe_checkout.open_session(order) for _ in range(3)]
    assert len(set(sessions)) == 1
    assert len(stripe_server.sessions) == 1


async def test_what_was_paid_already_is_not_asked_for_again(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer
) -> None:
    await stripe_checkout.open_session(an_order())
    part = [payment(2000), payment(700, "surplus")]
    await stripe_checkout.open_session(an_order(paid=2700, payments=part))

    amounts = [each["line_items[0][price_data][unit_amount]"] for each in stripe_server.requests]
    assert amounts == ["5000", "3000"]
    assert len(stripe_server.sessions) == 2


async def test_a_buyer_who_asks_late_gets_a_session_of_the_shortest_length(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer
) -> None:
    order = an_order(pay_in_seconds=600)

    sessions = [await stripe_checkout.open_session(order) for _ in range(2)]

    assert len(set(sessions)) == 1
    assert sessions[0].expires_at == order.pay_by + timedelta(minutes=30)


async def test_a_buyer_who_comes_back_late_gets_the_first_session_again(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer
) -> None:
    order = an_order()
    first = await stripe_checkout.open_session(order)
    # As if its key had been used 21 minutes ago: Stripe answers a key before it looks at times.
    ((key, (form, answer)),) = stripe_server.sessions.items()
    late = an_order(pay_in_seconds=600)
    stamp = f"{late.pay_by.timestamp():.0f}"
    stripe_server.sessions = {
        f"{key.rpartition('-')[0]}-{stamp}": (form | {"expires_at": stamp}, answer)
    }

    assert (await stripe_checkout.open_session(late)).url == first.url


async def test_a_session_of_an_order_with_days_to_pay_lasts_a_day(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer
) -> None:
    await stripe_checkout.open_session(an_order(pay_in_seconds=7 * 86_400))

    assert "expires_at" not in stripe_server.requests[0]


@pytest.mark.parametrize(
    "order",
    [
        an_order(total=100_000_000),
        an_order(total=100_000_000, pay_in_seconds=600),
        an_order(total=100_000_000, pay_in_seconds=7 * 86_400),
        an_order(currency="MGA"),
    ],
    ids=["too much", "too much and late", "too much and early", "currency"],
)
async def test_an_order_that_stripe_cannot_take_is_not_payable_online(
    stripe_checkout: StripeCheckout, order: Order
) -> None:
    with pytest.raises(NotPayableError) as refused:
        await stripe_checkout.open_session(order)
    assert refused.value.reason == "no_online_payment"


@pytest.mark.parametrize("status", [401, 429, 500, 503])
async def test_a_stripe_that_is_out_of_order_is_unavailable(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer, status: int
) -> None:
    stripe_server.broken = status
    with pytest.raises(ProviderUnavailableError):
        await stripe_checkout.open_session(an_order())


def test_the_name_of_what_is_bought_has_a_bound() -> None:
    items = order_document()["items"] * 50
    name = tickets(an_order(items=items))
    assert len(name) == MAX_NAME_CHARACTERS
    assert name.endswith("…")
