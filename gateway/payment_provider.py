"""Asks the payments process for the page on which a buyer pays an order."""

from datetime import datetime
from typing import Literal, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, ValidationError

from gateway.http.problems import ProblemError

REQUEST_SECONDS = 25.0
"""The process asks the gateway and its provider, one after the other."""
MAX_REQUESTS = 50
"""Requests to the process at a time; more are `payments_unavailable`."""
REASONS = ("payment_overdue", "no_online_payment")


class PaymentSession(BaseModel):
    """Where a buyer pays an order."""

    url: str
    expires_at: datetime | None
    """When the page stops taking payments; null if it does not say."""


class ProviderDescription(BaseModel):
    """Which provider takes payments here."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    provider: Literal["stripe", "demo"] | None
    is_real: bool
    """Whether it moves money."""
    payment_agent_id: str | None
    """The user that an event must have as its `payment_agent_id` to be paid through it."""


NONE = ProviderDescription(provider=None, is_real=False, payment_agent_id=None)

Answer = TypeVar("Answer", bound=BaseModel)


class PaymentProvider:
    """A client of the payments process."""

    def __init__(self, url: str | None) -> None:
        """`url` is the process's; None if the deployment has none."""
        limits = httpx.Limits(max_connections=MAX_REQUESTS)
        timeout = httpx.Timeout(REQUEST_SECONDS, pool=1.0)
        self._http = httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False)
        self._url = url

    async def describe(self) -> ProviderDescription:
        """Raises `payments_unavailable`."""
        if self._url is None:
            return NONE
        return await self._ask("GET", f"{self._url}/provider", ProviderDescription)

    async def open_session(self, order_id: str) -> PaymentSession:
        """Return the page of an order that the caller may see and that is still to be paid.

        Raises `order_not_pending`, `payment_overdue`, `no_online_payment` and
        `payments_unavailable`.
        """
        if self._url is None:
            raise ProblemError("no_online_payment")
        body = {"order_id": order_id}
        return await self._ask("POST", f"{self._url}/sessions", PaymentSession, body)

    async def close(self) -> None:
        await self._http.aclose()

    async def _ask(
        self, method: str, url: str, model: type[Answer], body: dict[str, str] | None = None
    ) -> Answer:
        try:
            response = await self._http.request(method, url, json=body)
            document = response.json()
            if response.status_code == httpx.codes.OK:
                return model.model_validate(document)
            code = document["code"]
        except (httpx.HTTPError, ValidationError, ValueError, KeyError, TypeError):
            raise ProblemError("payments_unavailable") from None
        if code == "order_not_pending":
            # Paid or expired since the gateway looked.
            status = document["order_status"]
            raise ProblemError(code, order_id=(body or {}).get("order_id"), order_status=status)
        if code in REASONS:
            raise ProblemError(code)
        if code == "order_not_found":
            # The order exists, as its buyer sees it: the provider is not its payment agent.
            raise ProblemError("no_online_payment")
        raise ProblemError("payments_unavailable")
