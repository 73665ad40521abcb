"""Every command: its fields, and its form on the wire.

The part of a command that a client sends as the body of an HTTP request is a class of its own
(`ReservationBody`, …). The command adds its user, its time and its ID.
"""

import hashlib
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from shared.fields import Email, Instant, Name, PasswordHash
from shared.ids import CommandId, Id

FINGERPRINT_BYTES = 16
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


class EventBody(Body):
    name: Name
    starts_at: Instant
    ends_at: Instant

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

    @model_validator(mode="after")
    def _sale_ends_after_it_starts(self) -> Self:
        if self.sale_ends_at <= self.sale_starts_at:
            raise PydanticCustomError("fields", "sale_ends_at must be after sale_starts_at")
        return self


class TicketTypeChanges(Body):
    """What to change; a field left out, or null, stays as it is."""

    name: Name | None = None
    total_quantity: TotalQuantity | None = None
    sale_starts_at: Instant | None = None
    sale_ends_at: Instant | None = None

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        fields = TicketTypeChanges.model_fields
        if all(getattr(self, field) is None for field in fields):
            raise PydanticCustomError("fields", "name at least one field to change")
        if self.sale_starts_at and self.sale_ends_at and self.sale_ends_at <= self.sale_starts_at:
            raise PydanticCustomError("fields", "sale_ends_at must be after sale_starts_at")
        return self


class Line(Body):
    ticket_type_id: Id
    quantity: Quantity


class ReservationBody(Body):
    items: Annotated[tuple[Line, ...], Field(min_length=1, max_length=MAX_LINES)]


class QuantityBody(Body):
    quantity: Annotated[int, Field(strict=True, ge=0, le=MAX_QUANTITY)]


class CommandFields(Body):
    """The fields that every command has."""

    NOT_PAYLOAD: ClassVar = {"command_id", "submitted_at", "deadline"}

    command_id: CommandId
    user_id: Id
    submitted_at: Instant
    deadline: Instant | None = None
    """After this instant the command is refused instead of applied."""

    def fingerprint(self) -> bytes:
        """Return 16 bytes that are equal for equal payloads of the same user and kind."""
        return hashlib.blake2b(self._payload().encode(), digest_size=FINGERPRINT_BYTES).digest()

    def _payload(self) -> str:
        """Return the command as text, without what may differ between attempts."""
        return self.model_dump_json(exclude=self.NOT_PAYLOAD)


class RegisterUser(CommandFields):
    """Register; `user_id` is the new user's ID. The password travels only as its hash."""

    kind: Literal["register_user"] = "register_user"
    email: Email
    password_hash: PasswordHash


class CreateEvent(CommandFields, EventBody):
    """Create an event; its ID is the command's."""

    kind: Literal["create_event"] = "create_event"


class ChangeEvent(CommandFields, EventChanges):
    kind: Literal["change_event"] = "change_event"
    event_id: Id


class CancelEvent(CommandFields):
    kind: Literal["cancel_event"] = "cancel_event"
    event_id: Id


class EndEvent(CommandFields):
    kind: Literal["end_event"] = "end_event"
    event_id: Id


class CreateTicketType(CommandFields, TicketTypeBody):
    """Create a ticket type; its ID is the command's."""

    kind: Literal["create_ticket_type"] = "create_ticket_type"
    event_id: Id


class ChangeTicketType(CommandFields, TicketTypeChanges):
    kind: Literal["change_ticket_type"] = "change_ticket_type"
    ticket_type_id: Id


class ReserveTickets(CommandFields, ReservationBody):
    kind: Literal["reserve_tickets"] = "reserve_tickets"

    def _payload(self) -> str:
        # Reservations are nearly all commands of a sale; pydantic would take three times as long.
        lines = [f"{line.ticket_type_id} {line.quantity}" for line in self.items]
        return f"{self.kind} {self.user_id} {' '.join(lines)}"


class SetQuantity(CommandFields, QuantityBody):
    kind: Literal["set_quantity"] = "set_quantity"
    ticket_type_id: Id


class ReleaseItem(CommandFields):
    kind: Literal["release_item"] = "release_item"
    ticket_type_id: Id


class ReleaseCart(CommandFields):
    kind: Literal["release_cart"] = "release_cart"


Command = (
    RegisterUser
    | CreateEvent
    | ChangeEvent
    | CancelEvent
    | EndEvent
    | CreateTicketType
    | ChangeTicketType
    | ReserveTickets
    | SetQuantity
    | ReleaseItem
    | ReleaseCart
)
Kind = Literal[
    "register_user",
    "create_event",
    "change_event",
    "cancel_event",
    "end_event",
    "create_ticket_type",
    "change_ticket_type",
    "reserve_tickets",
    "set_quantity",
    "release_item",
    "release_cart",
]
