"""A gateway that answers what a test wants, for what a real one cannot be made to do at will."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

AGENT_ID = "0190aaaa-0000-7000-8000-00000000a9e7"
ORDER_ID = "0190aaaa-0000-7000-8000-000000000001"
BUYER_ID = "0190aaaa-0000-7000-8000-00000000b0b0"


def order_document(**changes: Any) -> dict[str, Any]:
    """Return a pending order of 50 EUR, with time to pay as long as a new one has."""
    pay_by = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1860)
    return {
        "id": ORDER_ID,
        "event_id": "0190aaaa-0000-7000-8000-00000000e0e0",
        "user_id": BUYER_ID,
        "status": "pending_payment",
        "currency": "EUR",
        "total": 5000,
        "paid": 0,
        "refunded": 0,
        "kept": 0,
        "refund_due": 0,
        "created_at": (pay_by - timedelta(seconds=1860)).isoformat(),
        "pay_by": pay_by.isoformat(),
        "items": [
            {
                "ticket_type_id": "0190aaaa-0000-7000-8000-00000000f0f0",
                "name": "Standing",
                "quantity": 2,
                "released": 0,
                "unit_price": 2500,
            }
        ],
        "payments": [],
        "refunds": [],
        **changes,
    }


def payment(amount: int, disposition: str = "accepted") -> dict[str, Any]:
    """Return a payment as an order document shows it."""
    return {
        "payment_id": f"pi_{amount}_{disposition}",
        "amount": amount,
        "disposition": disposition,
        "reason": None,
        "at": datetime.now(UTC).isoformat(),
    }


@dataclass
class ScriptedGateway:
    """Knows one payment agent; `orders` and `answers` say what it answers."""

    orders: dict[str, dict[str, Any]] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, Any]]] = field(default_factory=list)
    """To the next commands, first to last; then 201."""
    recorded: list[tuple[str, dict[str, Any], Mapping[str, str]]] = field(default_factory=list)
    """Path, body and headers of each command."""
    accounts: dict[str, str] = field(default_factory=dict)
    token_life_seconds: float = 3600
    tokens: list[str] = field(default_factory=list)
    refused_tokens: set[str] = field(default_factory=set)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/users", self._register, methods=["POST"]),
                Route("/v1/tokens", self._log_in, methods=["POST"]),
                Route("/v1/me", self._me),
                Route("/v1/orders/{id}", self._order),
                Route("/v1/orders/{id}/payments", self._record, methods=["POST"]),
                Route("/v1/orders/{id}/refunds", self._record, methods=["POST"]),
            ]
        )

    @property
    def bodies(self) -> list[dict[str, Any]]:
        return [body for _, body, _ in self.recorded]

    async def _register(self, request: Request) -> Response:
        body = await request.json()
        if body["email"] in self.accounts:
            return JSONResponse({"code": "email_taken"}, 409)
        self.accounts[body["email"]] = body["password"]
        return JSONResponse({}, 201)

    async def _log_in(self, request: Request) -> Response:
        form = await request.form()
        if self.accounts.get(str(form["username"])) != form["password"]:
            return JSONResponse({"code": "invalid_credentials"}, 401)
        self.tokens.append(f"token-{len(self.tokens)}")
        return JSONResponse(
            {
                "access_token": self.tokens[-1],
                "token_type": "bearer",
                "expires_in": self.token_life_seconds,
            }
        )

    async def _me(self, request: Request) -> Response:
        return self._unless_refused(request) or JSONResponse({"id": AGENT_ID, "email": "x"})

    async def _order(self, request: Request) -> Response:
        if refusal := self._unless_refused(request):
            return refusal
        order = self.orders.get(request.path_params["id"])
        return JSONResponse(order) if order else JSONResponse({"code": "order_not_found"}, 404)

    async def _record(self, request: Request) -> Response:
        if refusal := self._unless_refused(request):
            return refusal
        self.recorded.append((request.url.path, await request.json(), request.headers))
        status, document = self.answers.pop(0) if self.answers else (201, {})
        return JSONResponse(document, status)

    def _unless_refused(self, request: Request) -> Response | None:
        token = request.headers.get("authorization", "").removeprefix("Bearer ")
        if token not in self.tokens or token in self.refused_tokens:
            return JSONResponse({"code": "unauthenticated"}, 401)
        return None
