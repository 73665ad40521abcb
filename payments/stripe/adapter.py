"""The adapter of Stripe: opens Checkout sessions, and records what Stripe's events say.

Every object that it makes at Stripe bears the order's ID and the payment agent's. An event without
them, or with another agent's, belongs to something else that uses the same account at Stripe.
"""

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

import stripe
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from stripe.params.checkout import SessionCreateParams

from payments.engine import (
    Engine,
    EngineUnavailableError,
    NotRecordedError,
    PaymentReport,
    RefundReport,
    Report,
    amount_due,
)
from payments.minor_units import UnsupportedAmountError, from_stripe, to_stripe
from payments.provider import NotPayableError, ProviderUnavailableError, Session
from payments.request_body import read_body
from payments.settings import LIVE_KEYS, Settings
from payments.stripe.events import (
    AGENT,
    ALARMING_EVENTS,
    ORDER,
    PAYING_EVENTS,
    REFUNDING_EVENTS,
    UNPAID_EVENTS,
    CheckoutSession,
    Event,
    InvalidSignatureError,
    Refunding,
    read_event,
)
from payments.telemetry import EVENTS
from shared.orders import Order

TIMEOUT_SECONDS = 8.0
RETRIES = 1
SHORTEST_SESSION = timedelta(minutes=30)
LONGEST_SESSION = timedelta(hours=24)
MARGIN = timedelta(minutes=1)
"""For the clocks: at the limits above, Stripe's clock decides."""
MAX_NAME_CHARACTERS = 250
MAX_REFUNDS = 100
"""Refunds of a payment that are looked at: an order has no more."""
_log = logging.getLogger(__name__)


class StripeCheckout:
    """Takes real money, or Stripe's test money where the key is one for tests."""

    name = "stripe"

    def __init__(self, settings: Settings, engine: Engine) -> None:
        self._settings = settings
        self._engine = engine
        key = settings.stripe_secret_key or ""
        self.is_real = key.startswith(LIVE_KEYS)
        self._http = stripe.HTTPXClient(timeout=TIMEOUT_SECONDS)
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": settings.stripe_api_base},
            http_client=self._http,
            max_network_retries=RETRIES,
        )

    @property
    def routes(self) -> Sequence[Route]:
        return [Route("/payments/stripe", self._webhook, methods=["POST"])]

    async def close(self) -> None:
        """Close the connections to Stripe."""
        await self._http.close_async()  # type: ignore[no-untyped-call]  # Stripe gives no type

    async def open_session(self, order: Order) -> Session:
        """Open the one Checkout session of this order, amount and time to pay.

        Stripe recognises a repetition by its key for 24 hours, and answers with the same session.
        """
        try:
            return await self._open(order, order.pay_by - datetime.now(UTC))
        except stripe.InvalidRequestError as error:
            _log.error("Stripe does not take order %s: %s", order.id, _words(error))
            raise NotPayableError("no_online_payment") from None

    async def read_reports(self, body: bytes, signature: str | None) -> list[Report]:
        """Return what an event of Stripe says of our orders; nothing if it is of none.

        Raises `InvalidSignatureError`, `EngineUnavailableError` before the first log-in,
        `ProviderUnavailableError` where the event alone does not say enough and Stripe does not
        answer, and `ValueError` for a signed event that is unlike Stripe's.
        """
        event = read_event(body, signature, self._settings.stripe_webhook_secret)
        if self._engine.agent_id is None:
            # Nobody knows yet whether the event is of ours.
            raise EngineUnavailableError("not logged in")
        reports = await self._reports_of(event)
        EVENTS.labels("taken" if reports else "ignored").inc()
        return reports

    async def _reports_of(self, event: Event) -> list[Report]:
        # A live endpoint for connected accounts also gets their events, and those of tests.
        if event.account is not None or event.livemode != self.is_real:
            return []
        if event.type in PAYING_EVENTS:
            return self._payment(CheckoutSession.model_validate(event.data.object))
        if event.type in REFUNDING_EVENTS:
            return await self._refunds(Refunding.model_validate(event.data.object))
        if event.type in ALARMING_EVENTS:
            _log.error("%s at Stripe: look at event %s there", event.type, event.id)
        elif event.type in UNPAID_EVENTS:
            _log.info("%s at Stripe: event %s", event.type, event.id)
        return []

    def _payment(self, session: CheckoutSession) -> list[Report]:
        order_id = self._order_of(session.metadata)
        # "unpaid": a bank transfer, say, that is under way; another event tells how it ended.
        if order_id is None or session.payment_status != "paid" or session.payment_intent is None:
            return []
        currency = session.currency.upper()
        amount = from_stripe(session.amount_total, currency)
        return [PaymentReport(order_id, session.payment_intent, amount, currency)]

    async def _refunds(self, refunding: Refunding) -> list[Report]:
        """Return all refunds of the payment that have succeeded.

        A charge says the sum of its refunds, and a refund does not say its order.
        """
        if refunding.payment_intent is None:
            return []
        try:
            intent = await self._client.v1.payment_intents.retrieve_async(refunding.payment_intent)
            order_id = self._order_of(intent.metadata.to_dict() if intent.metadata else None)
            if order_id is None:
                return []
            refunds = await self._client.v1.refunds.list_async(
                {"payment_intent": refunding.payment_intent, "limit": MAX_REFUNDS}
            )
        except stripe.StripeError as error:
            raise ProviderUnavailableError(_words(error)) from None
        return [
            RefundReport(order_id, refund.id, from_stripe(refund.amount, refund.currency.upper()))
            for refund in refunds.data
            if refund.status == "succeeded"
        ]

    def _order_of(self, metadata: dict[str, str] | None) -> str | None:
        if not metadata or metadata.get(AGENT) != self._engine.agent_id:
            return None
        return metadata.get(ORDER)

    async def _open(self, order: Order, time_left: timedelta) -> Session:
        """Raises `stripe.InvalidRequestError`, and what `_create` raises."""
        if time_left > LONGEST_SESSION - MARGIN:
            # Stripe allows no longer one. Without a time it ends in 24 h; tomorrow it is another.
            return await self._create(order, None, f"{datetime.now(UTC):%Y-%m-%d}")
        try:
            return await self._create(order, order.pay_by, f"{order.pay_by.timestamp():.0f}")
        except stripe.InvalidRequestError as error:
            if error.param != "expires_at" or time_left > SHORTEST_SESSION + MARGIN:
                raise
        # The buyer asks late for the first time, and Stripe's sessions last 30 minutes at least.
        # What is paid after `pay_by` is recorded like any late payment.
        late = order.pay_by + SHORTEST_SESSION
        return await self._create(order, late, f"{late.timestamp():.0f}")

    async def _create(self, order: Order, expires_at: datetime | None, when: str) -> Session:
        """Raises `stripe.InvalidRequestError`, `NotPayableError` and `ProviderUnavailableError`."""
        try:
            amount = to_stripe(amount_due(order), order.currency)
        except UnsupportedAmountError:
            raise NotPayableError("no_online_payment") from None
        metadata = {ORDER: order.id, AGENT: str(self._engine.agent_id)}
        back = self._settings.return_url(order.id)
        wanted: SessionCreateParams = {
            "mode": "payment",
            "client_reference_id": order.id,
            "metadata": metadata,
            # The charge takes them over; an event of a refund has no session.
            "payment_intent_data": {"metadata": metadata},
            "line_items": [
                {
                    "quantity": 1,
                    "price_data": {
                        "currency": order.currency.lower(),
                        "unit_amount": amount,
                        "product_data": {"name": tickets(order)},
                    },
                }
            ],
            # The buyer pays in the order's currency: another one is no payment of it.
            "adaptive_pricing": {"enabled": False},
            "success_url": back,
            "cancel_url": back,
        }
        if expires_at is not None:
            wanted["expires_at"] = int(expires_at.timestamp())
        try:
            session = await self._client.v1.checkout.sessions.create_async(
                wanted, {"idempotency_key": f"holdfast-{order.id}-{amount}-{when}"}
            )
        except stripe.InvalidRequestError:
            raise
        except stripe.StripeError as error:
            _log.warning("Stripe opens no session: %s", _words(error))
            raise ProviderUnavailableError(_words(error)) from None
        if session.url is None:
            raise ProviderUnavailableError("a session without a page")
        return Session(session.url, datetime.fromtimestamp(session.expires_at, UTC))

    async def _webhook(self, request: Request) -> Response:
        """Answer 200 once everything is decided, 400 for a bad signature, else 503: repeat it."""
        body = await read_body(request)
        try:
            reports = await self.read_reports(body, request.headers.get("stripe-signature"))
        except InvalidSignatureError:
            return JSONResponse({"code": "invalid_signature"}, HTTPStatus.BAD_REQUEST)
        except (EngineUnavailableError, ProviderUnavailableError):
            return _again()
        undecided = 0
        for each in reports:
            try:
                await self._engine.record(each)
            except NotRecordedError:
                undecided += 1
        return _again() if undecided else JSONResponse({"status": "ok"})


def tickets(order: Order) -> str:
    """Return what is bought in one line, such as `2 x Standing, 1 x Seated`."""
    name = ", ".join(f"{item.quantity} x {item.name}" for item in order.items)
    return name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - 1] + "…"


def _words(error: stripe.StripeError) -> str:
    """Return what went wrong, without the message: it may quote what was sent."""
    param = error.param if isinstance(error, stripe.InvalidRequestError) else None
    return " ".join(filter(None, (type(error).__name__, error.code, param)))


def _again() -> Response:
    return JSONResponse(
        {"code": "not_recorded"}, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "5"}
    )
