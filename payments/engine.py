"""The engine as its payment agent sees it: reads orders and records money over the HTTP API.

The agent is an ordinary user, so this process may do no more than any payment agent may.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from pydantic import BaseModel, TypeAdapter

from payments.telemetry import REPORTS
from shared.orders import Order

WAIT_SECONDS = 8
"""How long a command is awaited. Stripe gives a webhook about 20 s, other providers 10."""
REQUEST_SECONDS = WAIT_SECONDS + 7.0
SECOND_ATTEMPT_SECONDS = 1.0
"""After how long a command that an overloaded gateway did not take is sent again, once."""
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
"""Between two attempts to log in: the gateway bounds wrong passwords."""
SHARE_OF_TOKEN_LIFE = 0.8
FINAL_REFUSALS = frozenset(
    {"payment_id_reused", "currency_mismatch", "order_full", "invalid_request"}
)
"""What a repetition cannot heal. All else may: the organizer names this payment agent later, the
payment arrives after its refund, the tickets are released after the refund."""

_log = logging.getLogger(__name__)


_ORDER = TypeAdapter(Order)


def amount_due(order: Order) -> int:
    """Return the minor units still to be paid: the total less the payments that count for it."""
    accepted = sum(each.amount for each in order.payments if each.disposition == "accepted")
    return max(0, order.total - accepted)


@dataclass(frozen=True, slots=True)
class PaymentReport:
    """Money that the provider received. `payment_id` is the provider's, the same in each report."""

    order_id: str
    payment_id: str
    amount: int
    currency: str

    kind = "payment"

    @property
    def command(self) -> tuple[str, dict[str, Any]]:
        """Return the path and the body that record it."""
        body = {"payment_id": self.payment_id, "amount": self.amount, "currency": self.currency}
        return f"/v1/orders/{self.order_id}/payments", body


@dataclass(frozen=True, slots=True)
class RefundReport:
    """Money that the provider gave back. `refund_id` is the provider's."""

    order_id: str
    refund_id: str
    amount: int

    kind = "refund"

    @property
    def command(self) -> tuple[str, dict[str, Any]]:
        """Return the path and the body that record it."""
        body = {"refund_id": self.refund_id, "amount": self.amount}
        return f"/v1/orders/{self.order_id}/refunds", body


Report = PaymentReport | RefundReport


class NotRecordedError(Exception):
    """It is not known to be recorded. The report must be repeated, which is harmless."""


class EngineUnavailableError(Exception):
    """The engine did not answer, or this process is not logged in."""


class Engine:
    """A client of the gateway that is logged in as the payment agent."""

    def __init__(self, url: str, email: str, password: str) -> None:
        self.agent_id: str | None = None
        """The ID of the payment agent; None before the first log-in."""
        self._http = httpx.AsyncClient(base_url=url, timeout=REQUEST_SECONDS, trust_env=False)
        self._credentials = {"email": email, "password": password}
        self._token: str | None = None
        self._token_refused = asyncio.Event()

    @property
    def is_logged_in(self) -> bool:
        return self._token is not None

    async def stay_logged_in(self) -> None:
        """Log in, and again before the token expires or when it is refused; until cancelled."""
        delay_seconds = FIRST_DELAY_SECONDS
        while True:
            try:
                good_for_seconds = await self._log_in()
            except (EngineUnavailableError, httpx.HTTPError, ValueError, KeyError) as error:
                _log.warning("not logged in to the engine: %r", error)
                await asyncio.sleep(delay_seconds)
                delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)
                continue
            delay_seconds = FIRST_DELAY_SECONDS
            try:
                async with asyncio.timeout(good_for_seconds * SHARE_OF_TOKEN_LIFE):
                    await self._token_refused.wait()
                self._token = None
            except TimeoutError:
                pass  # the old token is good until there is a new one

    async def close(self) -> None:
        await self._http.aclose()

    async def order(self, order_id: str) -> Order | None:
        """Read an order; None if there is none whose payment agent this is.

        Raises `EngineUnavailableError`.
        """
        try:
            response = await self._ask("GET", f"/v1/orders/{order_id}")
        except httpx.HTTPError as error:
            raise EngineUnavailableError(repr(error)) from None
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.status_code != httpx.codes.OK:
            raise EngineUnavailableError(f"{response.status_code} {_code(response)}")
        return _ORDER.validate_json(response.content)

    async def record(self, report: Report) -> bool:
        """Record a payment or a refund; return once that is decided, and whether it is recorded.

        Each call is a new command: the engine recognises a repetition by the payment's or the
        refund's own ID, for as long as it keeps the order. Raises `NotRecordedError` where the
        provider must repeat its report. A refusal that no repetition can heal is logged as an
        error, since money has moved that the engine does not know.
        """
        path, body = report.command
        headers = {"Prefer": f"wait={WAIT_SECONDS}"}
        try:
            response = await self._ask("POST", path, json=body, headers=headers)
            if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                # A provider repeats its report after minutes, when the order may have expired.
                await asyncio.sleep(SECOND_ATTEMPT_SECONDS)
                response = await self._ask("POST", path, json=body, headers=headers)
        except (httpx.HTTPError, EngineUnavailableError) as error:
            REPORTS.labels(report.kind, "unavailable").inc()
            raise NotRecordedError(repr(error)) from None
        if response.status_code in (httpx.codes.OK, httpx.codes.CREATED):
            REPORTS.labels(report.kind, "recorded").inc()
            return True
        # 202: stored, and not decided. It will be; a repetition finds out whether it was refused.
        code = _code(response)
        is_final = code in FINAL_REFUSALS
        REPORTS.labels(report.kind, "refused" if is_final else "postponed").inc()
        _log.log(
            logging.ERROR if is_final else logging.WARNING,
            "%s is not recorded (%s %s)",
            report,
            response.status_code,
            code,
        )
        if not is_final:
            raise NotRecordedError(code)
        return False

    async def _log_in(self) -> float:
        """Get a token, registering the agent at the very first start; return its life in seconds.

        Raises `EngineUnavailableError`, and what httpx and an unexpected answer raise.
        """
        self._token_refused.clear()
        response = await self._tokens()
        if response.status_code == httpx.codes.UNAUTHORIZED:
            registered = await self._http.post(
                "/v1/users", json=self._credentials, headers={"Prefer": f"wait={WAIT_SECONDS}"}
            )
            if _code(registered) == "email_taken":
                raise EngineUnavailableError(
                    f"{self._credentials['email']} exists with another password: see"
                    " HOLDFAST_PAYMENTS_EMAIL and HOLDFAST_PAYMENTS_PASSWORD"
                )
            response = await self._tokens()
        if response.status_code != httpx.codes.OK:
            raise EngineUnavailableError(f"{response.status_code} {_code(response)}")
        token = _TOKEN.validate_json(response.content)
        headers = {"Authorization": f"Bearer {token.access_token}"}
        me = await self._http.get("/v1/me", headers=headers)
        if me.status_code != httpx.codes.OK:
            raise EngineUnavailableError(f"{me.status_code} {_code(me)}")
        self.agent_id = str(me.json()["id"])
        self._token = token.access_token
        return token.expires_in

    async def _tokens(self) -> httpx.Response:
        form = {
            "username": self._credentials["email"],
            "password": self._credentials["password"],
        }
        return await self._http.post("/v1/tokens", data=form)

    async def _ask(
        self, method: str, path: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> httpx.Response:
        if self._token is None:
            raise EngineUnavailableError("not logged in")
        token = {"Authorization": f"Bearer {self._token}"}
        response = await self._http.request(
            method, path, headers={**(headers or {}), **token}, **request
        )
        if response.status_code == httpx.codes.UNAUTHORIZED:
            self._token_refused.set()
            raise EngineUnavailableError("the token was refused")
        return response


class _Token(BaseModel):
    access_token: str
    expires_in: float


_TOKEN = TypeAdapter(_Token)


def _code(response: httpx.Response) -> str:
    """Return the code of a problem; empty if the answer is none."""
    try:
        document = response.json()
    except ValueError:
        return ""
    return str(document.get("code", "")) if isinstance(document, dict) else ""
