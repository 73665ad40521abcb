"""Stripe's events: which are believed, what each says, and what Stripe is answered."""

from typing import Any

import httpx
import pytest

from dev.addresses import free_port
from payments.app import create_app
from payments.engine import PaymentReport, RefundReport, Report
from payments.provider import ProviderUnavailableError
from payments.request_body import MAX_BODY_BYTES
from payments.settings import Settings
from payments.stripe.adapter import StripeCheckout
from payments.stripe.events import AGENT, ORDER, InvalidSignatureError
from tests.payments.conftest import WEBHOOK_SECRET, Running
from tests.payments.gateway import AGENT_ID, ORDER_ID, ScriptedGateway
from tests.payments.serving import serving
from tests.payments.stripe.events import OURS, charge, encoded, event, refund, session, signature
from tests.payments.stripe.server import StripeServer

COMPLETED = "checkout.session.completed"
PAID = PaymentReport(ORDER_ID, "pi_1", 5000, "EUR")


async def read(stripe_checkout: StripeCheckout, document: dict[str, Any]) -> list[Report]:
    body = encoded(document)
    return await stripe_checkout.read_reports(body, signature(body, WEBHOOK_SECRET))


async def send(running: Running, document: dict[str, Any], **headers: str) -> httpx.Response:
    body = encoded(document)
    signed = {"Stripe-Signature": signature(body, WEBHOOK_SECRET)}
    return await running.post("/payments/stripe", content=body, headers=signed | headers)


@pytest.mark.parametrize(
    ("document", "reports"),
    [
        (event(COMPLETED, session()), [PAID]),
        (event("checkout.session.async_payment_succeeded", session()), [PAID]),
        # A bank transfer that is under way, and how it may end.
        (event(COMPLETED, session(payment_status="unpaid")), []),
        (
            event("checkout.session.async_payment_failed", session(payment_status="unpaid")),
            [],
        ),
        (
            event(
                "checkout.session.expired", session(payment_status="unpaid", payment_intent=None)
            ),
            [],
        ),
        # Nothing was to be paid.
        (
            event(COMPLETED, session(payment_status="no_payment_required", payment_intent=None)),
            [],
        ),
        (
            event(COMPLETED, session(currency="jpy", amount_total=5000)),
            [PaymentReport(ORDER_ID, "pi_1", 5000, "JPY")],
        ),
        (
            event(COMPLETED, session(currency="isk", amount_total=500_000)),
            [PaymentReport(ORDER_ID, "pi_1", 5000, "ISK")],
        ),
        (
            event(COMPLETED, session(currency="kwd", amount_total=5010)),
            [PaymentReport(ORDER_ID, "pi_1", 5010, "KWD")],
        ),
        # Of something else that uses the same account at Stripe.
        (event(COMPLETED, session(metadata=None)), []),
        (event(COMPLETED, session(metadata={})), []),
        (event(COMPLETED, session(metadata={ORDER: ORDER_ID})), []),
        (event(COMPLETED, session(metadata={AGENT: AGENT_ID})), []),
        (event(COMPLETED, session(metadata=OURS | {AGENT: "another deployment's"})), []),
        (event(COMPLETED, session(), account="acct_of_somebody_else"), []),
        (event(COMPLETED, session(), livemode=True), []),
        # Of types that say nothing here; an endpoint may be sent all that there are.
        (event("customer.created", {"id": "cus_1", "object": "customer"}), []),
        (event("charge.dispute.created", {"id": "dp_1", "object": "dispute"}), []),
        (event("refund.failed", refund(1, 2000, status="failed")), []),
        (event("charge.refunded", charge(payment_intent=None)), []),
        (event("a.type.of.next.year", {}), []),
    ],
)
async def test_an_event_says_what_moved_for_an_order_of_ours(
    stripe_checkout: StripeCheckout, document: dict[str, Any], reports: list[Report]
) -> None:
    assert await read(stripe_checkout, document) == reports


@pytest.mark.parametrize(
    "document",
    [
        event("charge.refunded", charge()),
        event("refund.created", refund(2, 1500)),
        event("refund.updated", refund(2, 1500)),
    ],
)
async def test_a_refund_is_looked_up_with_all_others_of_its_payment(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer, document: dict[str, Any]
) -> None:
    stripe_server.intents["pi_1"] = {"metadata": OURS}
    stripe_server.refunds["pi_1"] = [
        refund(2, 1500),
        refund(1, 500),
        refund(3, 700, status="pending"),
        refund(4, 900, status="failed"),
    ]

    assert await read(stripe_checkout, document) == [
        RefundReport(ORDER_ID, "re_2", 1500),
        RefundReport(ORDER_ID, "re_1", 500),
    ]


async def test_a_refund_of_a_payment_that_is_not_ours_is_none(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer
) -> None:
    stripe_server.intents["pi_1"] = {"metadata": {"shop": "another"}}

    assert await read(stripe_checkout, event("charge.refunded", charge())) == []


async def test_a_refund_that_cannot_be_looked_up_is_asked_for_again(
    stripe_checkout: StripeCheckout, stripe_server: StripeServer, with_stripe: Running
) -> None:
    stripe_server.broken = 500

    with pytest.raises(ProviderUnavailableError):
        await read(stripe_checkout, event("charge.refunded", charge()))
    assert (await send(with_stripe, event("charge.refunded", charge()))).status_code == 503


async def test_an_event_that_comes_before_the_first_log_in_is_repeated(
    stripe_settings: Settings,
) -> None:
    settings = stripe_settings.model_copy(update={"gateway_url": f"http://127.0.0.1:{free_port()}"})
    async with serving(create_app(settings)) as url, httpx.AsyncClient(trust_env=False) as http:
        answer = await send(Running(url, http), event(COMPLETED, session()))
        assert answer.status_code == 503


@pytest.mark.parametrize(
    "header",
    [
        lambda body: signature(body, "whsec_of_somebody_else"),
        lambda body: signature(body, WEBHOOK_SECRET, age_seconds=301),
        lambda body: signature(body + b" ", WEBHOOK_SECRET),
        lambda body: signature(body, WEBHOOK_SECRET).replace("v1=", "v2="),
        lambda body: signature(body, WEBHOOK_SECRET).partition(",")[2],
        lambda body: "t=now,v1=",
        lambda body: "",
        lambda body: None,
    ],
    ids=["secret", "old", "body", "scheme", "no time", "nonsense", "empty", "none"],
)
async def test_an_event_that_is_not_signed_by_stripe_lately_changes_nothing(
    stripe_checkout: StripeCheckout, with_stripe: Running, gateway: ScriptedGateway, header: Any
) -> None:
    body = encoded(event(COMPLETED, session()))
    signed = header(body)

    with pytest.raises(InvalidSignatureError):
        await stripe_checkout.read_reports(body, signed)
    headers = {} if signed is None else {"Stripe-Signature": signed}
    answer = await with_stripe.post("/payments/stripe", content=body, headers=headers)
    assert answer.status_code == 400
    assert gateway.recorded == []


async def test_a_signature_is_good_for_five_minutes(stripe_checkout: StripeCheckout) -> None:
    body = encoded(event(COMPLETED, session()))

    assert await stripe_checkout.read_reports(body, signature(body, WEBHOOK_SECRET, 290)) == [PAID]


async def test_a_body_that_is_no_text_is_not_signed(stripe_checkout: StripeCheckout) -> None:
    with pytest.raises(InvalidSignatureError):
        await stripe_checkout.read_reports(b"\xff\xfe", signature(b"\xff\xfe", WEBHOOK_SECRET))


async def test_a_payment_is_recorded_with_the_name_that_stripe_gives_it(
    with_stripe: Running, gateway: ScriptedGateway
) -> None:
    assert (await send(with_stripe, event(COMPLETED, session()))).status_code == 200
    ((path, body, headers),) = gateway.recorded
    assert path == f"/v1/orders/{ORDER_ID}/payments"
    assert body == {"payment_id": "pi_1", "amount": 5000, "currency": "EUR"}
    # A command of its own each time: a recorded refusal must not be repeated for ever.
    assert "idempotency-key" not in headers


async def test_a_repeated_event_is_recorded_under_the_same_payment_id(
    with_stripe: Running, gateway: ScriptedGateway
) -> None:
    for _ in range(3):
        assert (await send(with_stripe, event(COMPLETED, session()))).status_code == 200
    assert [body["payment_id"] for body in gateway.bodies] == ["pi_1"] * 3


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ((201, {}), 200),
        # Stored, and not decided: a repetition finds out.
        ((202, {"status": "pending"}), 503),
        ((503, {"code": "broker_unavailable"}), 503),
        ((503, {"code": "overloaded"}), 503),
        ((500, {"code": "internal"}), 503),
        ((422, {"code": "unprocessable"}), 503),
        ((401, {"code": "unauthenticated"}), 503),
        # What may heal within the days that Stripe repeats it.
        ((404, {"code": "order_not_found"}), 503),
        ((403, {"code": "not_the_payment_agent"}), 503),
        ((409, {"code": "more_than_due"}), 503),
        # What may not: an operator must look.
        ((422, {"code": "payment_id_reused"}), 200),
        ((422, {"code": "currency_mismatch"}), 200),
        ((409, {"code": "order_full"}), 200),
    ],
)
async def test_stripe_repeats_what_is_not_decided_or_may_heal(
    with_stripe: Running,
    gateway: ScriptedGateway,
    answer: tuple[int, dict[str, Any]],
    status: int,
) -> None:
    gateway.answers += [answer] * 2

    assert (await send(with_stripe, event(COMPLETED, session()))).status_code == status


async def test_a_gateway_that_is_overloaded_is_asked_once_more_at_once(
    with_stripe: Running, gateway: ScriptedGateway
) -> None:
    gateway.answers.append((503, {"code": "overloaded"}))

    assert (await send(with_stripe, event(COMPLETED, session()))).status_code == 200
    assert gateway.bodies[0] == gateway.bodies[1]


async def test_the_refunds_of_an_event_are_recorded_though_one_is_refused_for_now(
    with_stripe: Running, gateway: ScriptedGateway, stripe_server: StripeServer
) -> None:
    stripe_server.intents["pi_1"] = {"metadata": OURS}
    stripe_server.refunds["pi_1"] = [refund(1, 5000), refund(2, 500)]
    gateway.answers += [(409, {"code": "more_than_due"}), (201, {})]

    answer = await send(with_stripe, event("charge.refunded", charge()))

    assert answer.status_code == 503
    assert gateway.bodies == [
        {"refund_id": "re_1", "amount": 5000},
        {"refund_id": "re_2", "amount": 500},
    ]


async def test_a_signed_event_that_is_unlike_stripes_is_an_error(with_stripe: Running) -> None:
    answer = await send(with_stripe, event(COMPLETED, session(amount_total="5000")))
    assert answer.status_code == 500


async def test_a_body_beyond_the_bound_is_not_read(
    with_stripe: Running, gateway: ScriptedGateway
) -> None:
    document = event(COMPLETED, session(note="x" * MAX_BODY_BYTES))
    assert (await send(with_stripe, document)).status_code == 413
    assert gateway.recorded == []
