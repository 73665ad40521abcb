"""Every command: its fields, and its form on the wire.

The part of a command that a client sends as the body of an HTTP request is a class of
`shared.bodies`. The command adds its user, its time and its ID.
"""

import hashlib
from typing import ClassVar, Literal

from shared.bodies import (
    Body,
    CancellationBody,
    EventBody,
    EventChanges,
    ExtensionBody,
    OrderBody,
    PaymentBody,
    QuantityBody,
    RefundBody,
    ReleasesBody,
    ReservationBody,
    TicketTypeBody,
    TicketTypeChanges,
)
from shared.fields import Email, Instant, PasswordHash
from shared.ids import CommandId, Id

FINGERPRINT_BYTES = 16


class CommandFields(Body):
    """The fields that every command has."""

    NOT_PAYLOAD: ClassVar = {"command_id", "submitted_at", "deadline"}
    ADDED_FIELDS: ClassVar[frozenset[str]] = frozenset()
    """Fields that commands of earlier releases lack. Their defaults are no part of the payload, so
    that its fingerprint is that of the same command in an earlier release."""

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
        unset = {name for name in self.ADDED_FIELDS if self._has_default(name)}
        return self.model_dump_json(exclude=self.NOT_PAYLOAD | unset)

    def _has_default(self, name: str) -> bool:
        return bool(getattr(self, name) == type(self).model_fields[name].default)


def unread_fingerprint(user_id: str) -> bytes:
    """Return what is recorded instead of a fingerprint where a command could not be read.

    It equals no fingerprint, and stands for each payload of this user: the outcome answers the
    command whatever its payload is.
    """
    return hashlib.blake2b(f"unread {user_id}".encode(), digest_size=FINGERPRINT_BYTES).digest()


class RegisterUser(CommandFields):
    """Register; `user_id` is the new user's ID. The password travels only as its hash."""

    kind: Literal["register_user"] = "register_user"
    email: Email
    password_hash: PasswordHash


class CreateEvent(CommandFields, EventBody):
    """Create an event; its ID is the command's."""

    ADDED_FIELDS = frozenset({"currency", "payment_agent_id"})

    kind: Literal["create_event"] = "create_event"


class ChangeEvent(CommandFields, EventChanges):
    ADDED_FIELDS = frozenset({"payment_agent_id"})

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

    ADDED_FIELDS = frozenset({"unit_price", "min_per_order", "max_per_order", "max_per_user"})

    kind: Literal["create_ticket_type"] = "create_ticket_type"
    event_id: Id


class ChangeTicketType(CommandFields, TicketTypeChanges):
    ADDED_FIELDS = CreateTicketType.ADDED_FIELDS | {"lower_to_committed"}

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


class ExtendHold(CommandFields):
    """Hold the tickets in the cart longer."""

    kind: Literal["extend_hold"] = "extend_hold"


class CheckOut(CommandFields, OrderBody):
    """Order what the cart holds of an event; the order's ID is the command's."""

    kind: Literal["check_out"] = "check_out"


class RecordPayment(CommandFields, PaymentBody):
    """Record a payment that the provider received, in any state of the order."""

    kind: Literal["record_payment"] = "record_payment"
    order_id: Id


class RecordRefund(CommandFields, RefundBody):
    """Record a refund that the provider has paid."""

    kind: Literal["record_refund"] = "record_refund"
    order_id: Id


class ReleaseTickets(CommandFields, ReleasesBody):
    """Put tickets of a paid order on sale again."""

    kind: Literal["release_tickets"] = "release_tickets"
    order_id: Id


class CancelOrder(CommandFields, CancellationBody):
    kind: Literal["cancel_order"] = "cancel_order"
    order_id: Id


class ExtendOrder(CommandFields, ExtensionBody):
    """Give the buyer more time to pay."""

    kind: Literal["extend_order"] = "extend_order"
    order_id: Id


OrderCommand = RecordPayment | RecordRefund | ReleaseTickets | CancelOrder | ExtendOrder
"""Commands that name an order."""

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
    | ExtendHold
    | CheckOut
    | RecordPayment
    | RecordRefund
    | ReleaseTickets
    | CancelOrder
    | ExtendOrder
)
CartCommand = ReserveTickets | SetQuantity | ReleaseItem | ReleaseCart | ExtendHold
"""Commands that change only their user's cart, and what it holds of ticket types."""
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
    "extend_hold",
    "check_out",
    "record_payment",
    "record_refund",
    "release_tickets",
    "cancel_order",
    "extend_order",
]
