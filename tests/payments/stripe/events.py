"""Events as Stripe makes and signs them; https://docs.stripe.com/webhooks says how."""

import hashlib
import hmac
import json
import time
from typing import Any

from payments.stripe.events import AGENT, ORDER
from tests.payments.gateway import AGENT_ID, ORDER_ID

OURS = {ORDER: ORDER_ID, AGENT: AGENT_ID}


def event(event_type: str, obj: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return an event of a test account."""
    return {
        "id": "evt_1",
        "object": "event",
        "api_version": "2026-10-28.endive",
        "created": int(time.time()),
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
        "data": {"object": obj},
        **changes,
    }


def session(**changes: Any) -> dict[str, Any]:
    """Return a Checkout session that was paid."""
    return {
        "id": "cs_test_1",
        "object": "checkout.session",
        "amount_total": 5000,
        "client_reference_id": ORDER_ID,
        "currency": "eur",
        "livemode": False,
        "metadata": OURS,
        "mode": "payment",
        "payment_intent": "pi_1",
        "payment_status": "paid",
        "status": "complete",
        **changes,
    }


def charge(**changes: Any) -> dict[str, Any]:
    """Return a charge that was refunded in part."""
    return {
        "id": "ch_1",
        "object": "charge",
        "amount": 5000,
        "amount_refunded": 2000,
        "currency": "eur",
        "metadata": OURS,
        "payment_intent": "pi_1",
        "refunded": False,
        **changes,
    }


def refund(number: int, amount: int, **changes: Any) -> dict[str, Any]:
    """Return a refund that has succeeded."""
    return {
        "id": f"re_{number}",
        "object": "refund",
        "amount": amount,
        "currency": "eur",
        "charge": "ch_1",
        "payment_intent": "pi_1",
        "metadata": {},
        "status": "succeeded",
        **changes,
    }


def encoded(document: dict[str, Any]) -> bytes:
    """Return an event as Stripe sends it."""
    return json.dumps(document, indent=2).encode()


def signature(body: bytes, secret: str, age_seconds: int = 0) -> str:
    """Return the header `Stripe-Signature` of a body that was signed some time ago."""
    signed_at = int(time.time()) - age_seconds
    mac = hmac.new(secret.encode(), b"%d.%b" % (signed_at, body), hashlib.sha256)
    return f"t={signed_at},v1={mac.hexdigest()},v0=6ffbb59b2300aae63f272406069a9788598b792a"
