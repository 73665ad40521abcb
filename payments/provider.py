"""What a payment provider does, whichever one it is: the interface that each adapter fulfils."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from starlette.routing import Route

from shared.orders import Order, OrderStatus

Reason = Literal["order_not_found", "order_not_pending", "payment_overdue", "no_online_payment"]


@dataclass(frozen=True, slots=True)
class Session:
    """A page on which a buyer pays one order."""

    url: str
    expires_at: datetime | None
    """When the page stops taking payments; None if the provider decides."""


class NotPayableError(Exception):
    """The order cannot be paid here, and repeating the request does not change that."""

    def __init__(self, reason: Reason, order_status: OrderStatus | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.order_status = order_status


class ProviderUnavailableError(Exception):
    """The provider did not answer, or not as it should; the request may be repeated."""


class Provider(Protocol):
    """An adapter. What the provider reports reaches the engine through `Engine.record`."""

    name: str
    is_real: bool
    """Whether it moves money."""

    @property
    def routes(self) -> Sequence[Route]:
        """Where the provider, or the buyer's browser, reaches the adapter: below `/payments/`."""
        ...

    async def open_session(self, order: Order) -> Session:
        """Open a payment page for what is due; a repetition returns the same page while it lasts.

        Raises `NotPayableError` and `ProviderUnavailableError`.
        """
        ...

    async def close(self) -> None:
        """End what the adapter has under way."""
        ...
