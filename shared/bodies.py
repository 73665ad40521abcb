"""The bodies of HTTP requests that ask for a command, and the bounds of what they may hold.

Each command takes over the fields of its body, and adds its user, its time and its ID.
"""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from shared.fields import Instant, Name
from shared.ids import Id
from shared.money import DEFAULT_CURRENCY, Amount, AmountOrNone, Currency, PaymentId, UnitPrice

MAX_LINES = 20
"""How many lines a reservation has."""
MAX_CART_LINES = 50
"""How many lines a cart has: a batch locks and reads the whole cart of each of its users."""
MAX_QUANTITY = 1_000_000
"""How many tickets a line has, of a command and of a cart."""
MAX_TICKET_TYPES = 100
"""How many ticket types an event has: its page lists them all."""
MAX_TOTAL_QUANTITY = 100_000_000

Quantity = Annotated[int, Field(strict=True, ge=1, le=MAX_QUANTITY)]
TotalQuantity = Annotated[int, Field(strict=True, ge=0, le=MAX_TOTAL_QUANTITY)]


class Body(BaseModel):
    """What a client sends: immutable, and an unknown field is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def member_count(self) -> int:
        """Return how many members the JSON of this body had, repeated ones counted once."""
        return len(self.model_fields_set)


class EventBody(Body):
    name: Name
    starts_at: Instant
    ends_at: Instant
    currency: Currency = DEFAULT_CURRENCY
    payment_agent_id: Id | None = None
    """The user that may record payments; None: the organizer."""

    @model_validator(mode="after")
    def _ends_after_it_starts(self) -> Self:
        if self.ends_at <= self.starts_at:
            raise PydanticCustomError("fields", "ends_at must be after starts_at")
        return self


class EventChanges(Body):
    """What to change of an event; a field left out, or null, stays as it is."""

    name: Name | None = None
    starts_at: Instant | None = None
    ends_at: Instant | None = None
    payment_agent_id: Id | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if all(getattr(self, field) is None for field in EventChanges.model_fields):
            raise PydanticCustomError("fields", "name at least one field to change")
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise PydanticCustomError("fields", "ends_at must be after starts_at")
        return self


class TicketTypeBody(Body):
    name: Name
    total_quantity: TotalQuantity
    sale_starts_at: Instant
    sale_ends_at: Instant
    unit_price: UnitPrice = 0
    min_per_order: Quantity = 1
    """How many tickets an order has at least."""
    max_per_order: Quantity | None = None
    """How many tickets a cart holds at most; None: no limit."""
    max_per_user: Quantity | None = None
    """How many a user's cart and orders hold together at most; None: no limit."""

    @model_validator(mode="after")
    def _sale_ends_after_it_starts(self) -> Self:
        if self.sale_ends_at <= self.sale_starts_at:
            raise PydanticCustomError("fields", "sale_ends_at must be after sale_starts_at")
        return self

    @model_validator(mode="after")
    def _minimum_can_be_reached(self) -> Self:
        _check_minimum(self.min_per_order, self.max_per_order, self.max_per_user)
        return self


class TicketTypeChanges(Body):
    """What to change; a field left out, or null, stays as it is."""

    name: Name | None = None
    total_quantity: TotalQuantity | None = None
    lower_to_committed: Literal[True] | None = None
    """Lower the total to what is reserved and sold when the command is decided."""
    sale_starts_at: Instant | None = None
    sale_ends_at: Instant | None = None
    unit_price: UnitPrice | None = None
    min_per_order: Quantity | None = None
    max_per_order: Quantity | None = None
    max_per_user: Quantity | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        fields = TicketTypeChanges.model_fields
        if all(getattr(self, field) is None for field in fields):
            raise PydanticCustomError("fields", "name at least one field to change")
        if self.lower_to_committed and self.total_quantity is not None:
            raise PydanticCustomError("fields", "name total_quantity or lower_to_committed")
        if self.sale_starts_at and self.sale_ends_at and self.sale_ends_at <= self.sale_starts_at:
            raise PydanticCustomError("fields", "sale_ends_at must be after sale_starts_at")
        return self

    @model_validator(mode="after")
    def _minimum_can_be_reached(self) -> Self:
        _check_minimum(self.min_per_order, self.max_per_order, self.max_per_user)
        return self


def _check_minimum(minimum: int | None, *maxima: int | None) -> None:
    if minimum is not None and any(limit is not None and limit < minimum for limit in maxima):
        raise PydanticCustomError("fields", "min_per_order must not exceed a maximum")


class Line(Body):
    ticket_type_id: Id
    quantity: Quantity


class ReservationBody(Body):
    items: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES)]

    def member_count(self) -> int:
        return super().member_count() + len(Line.model_fields) * len(self.items)


class QuantityBody(Body):
    quantity: Annotated[int, Field(strict=True, ge=0, le=MAX_QUANTITY)]


class OrderBody(Body):
    event_id: Id
    expected_total: AmountOrNone | None = None
    """The total that the buyer was shown; None: any."""


class PaymentBody(Body):
    payment_id: PaymentId
    amount: Amount
    currency: Currency


class RefundBody(Body):
    refund_id: PaymentId
    amount: Amount


class ReleasesBody(Body):
    items: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_CART_LINES)]
    keep_amount: AmountOrNone | None = None
    """What the organizer keeps of what was paid."""


class CancellationBody(Body):
    keep_amount: AmountOrNone | None = None
    """What the organizer keeps of what was paid."""


class ExtensionBody(Body):
    pay_by: Instant
