"""Stripe's API as far as it is called: checks what the official client sends, and answers alike.

Its rules are those of Stripe's documentation: sessions last 30 minutes to 24 hours, and a key
names one request for 24 hours, with one set of parameters.
"""

import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

SECRET_KEY = "sk_test_51Hold"
MOST_OF_A_CURRENCY = 99_999_999


@dataclass
class StripeServer:
    """Remembers the sessions by their keys; `intents` and `refunds` are what a test puts there."""

    sessions: dict[str, tuple[dict[str, str], dict[str, Any]]] = field(default_factory=dict)
    intents: dict[str, dict[str, Any]] = field(default_factory=dict)
    refunds: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    requests: list[dict[str, str]] = field(default_factory=list)
    broken: int | None = None
    """The status of each answer while Stripe is out of order."""

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/checkout/sessions", self._create, methods=["POST"]),
                Route("/v1/payment_intents/{id}", self._intent),
                Route("/v1/refunds", self._refunds),
            ]
        )

    async def _create(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        sent = parse_qs((await request.body()).decode(), strict_parsing=True)
        form = {name: values[0] for name, values in sent.items()}
        self.requests.append(form)
        key = request.headers["idempotency-key"]
        if key in self.sessions:
            earlier, session = self.sessions[key]
            if earlier != form:
                return _error("idempotency_error", None, status=400)
            return JSONResponse(session, headers={"Idempotent-Replayed": "true"})
        now = time.time()
        expires_at = int(form.get("expires_at", now + 86_400))
        if not now + 1_800 <= expires_at <= now + 86_400:
            return _error("invalid_request_error", "expires_at")
        if int(form["line_items[0][price_data][unit_amount]"]) > MOST_OF_A_CURRENCY:
            return _error("invalid_request_error", "line_items[0][price_data][unit_amount]")
        number = len(self.sessions) + 1
        session = {
            "id": f"cs_test_{number}",
            "object": "checkout.session",
            "url": f"https://checkout.stripe.com/c/pay/cs_test_{number}",
            "expires_at": expires_at,
            "status": "open",
        }
        self.sessions[key] = form, session
        return JSONResponse(session)

    async def _intent(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        found = self.intents.get(request.path_params["id"])
        if found is None:
            return _error("invalid_request_error", "intent", status=404)
        return JSONResponse({"id": request.path_params["id"], "object": "payment_intent", **found})

    async def _refunds(self, request: Request) -> Response:
        if refusal := self._refusal(request):
            return refusal
        found = self.refunds[request.query_params["payment_intent"]]
        return JSONResponse({"object": "list", "data": found, "has_more": False})

    def _refusal(self, request: Request) -> Response | None:
        if self.broken is not None:
            return _error("api_error", None, status=self.broken)
        if request.headers["authorization"] != f"Bearer {SECRET_KEY}":
            return _error("invalid_request_error", None, status=401)
        return None


def _error(kind: str, param: str | None, status: int = 400) -> Response:
    error = {"type": kind, "param": param, "message": "said by the test"}
    return JSONResponse({"error": error}, status)
