"""The events that Stripe signs and sends: which are believed, and what of them is read."""

from typing import Any

import stripe
from pydantic import BaseModel, Field

TOLERANCE_SECONDS = 300
"""How old a signature may be: older ones may be recordings that somebody sends again."""
ORDER = "holdfast_order_id"
AGENT = "holdfast_payment_agent_id"

PAYING_EVENTS = ("checkout.session.completed", "checkout.session.async_payment_succeeded")
REFUNDING_EVENTS = ("charge.refunded", "refund.created", "refund.updated")
UNPAID_EVENTS = ("checkout.session.async_payment_failed", "checkout.session.expired")
"""Nothing to record: the order stays as it is, until its own time to pay is over."""
ALARMING_EVENTS = ("refund.failed", "charge.dispute.created")
"""Money that moves against the books, for which the engine has no command: for an operator."""


class _EventData(BaseModel):
    object: dict[str, Any]


class Event(BaseModel):
    id: str
    type: str
    livemode: bool
    account: str | None = None
    """Of a connected account whose event this is."""
    data: _EventData


class CheckoutSession(BaseModel):
    payment_status: str
    amount_total: int = Field(strict=True)
    currency: str
    payment_intent: str | None = None
    metadata: dict[str, str] | None = None


class Refunding(BaseModel):
    """A charge or a refund."""

    payment_intent: str | None = None


class InvalidSignatureError(Exception):
    """The request is not signed by Stripe with our secret, or not lately."""


def read_event(body: bytes, signature: str | None, secret: str | None) -> Event:
    """Return the event in a request that Stripe signed with `secret`.

    Raises `InvalidSignatureError`, and `ValueError` for a signed event that is unlike Stripe's.
    """
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_SECONDS)
    except (stripe.SignatureVerificationError, UnicodeDecodeError):
        raise InvalidSignatureError from None
    return Event.model_validate_json(body)
