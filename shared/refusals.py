"""Every reason for a refusal: a stable code, a sentence for people, and the data behind it.

To add one, write its class and name its code in `RefusalCode`.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal, TypeAlias, Union, get_args

RefusalCode = Literal[
    "ticket_type_not_found",
    "event_not_found",
    "item_not_in_cart",
    "user_not_found",
    "not_the_organizer",
    "event_ended",
    "event_cancelled",
    "sale_not_started",
    "sale_ended",
    "insufficient_availability",
    "line_too_large",
    "cart_full",
    "limit_exceeded",
    "hold_limit_reached",
    "cart_empty",
    "total_below_committed",
    "too_many_ticket_types",
    "email_taken",
    "deadline_passed",
    "stale_command",
    "command_id_reused",
    "unprocessable",
]
REFUSAL_CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)


class Refusal:
    """Why a command changed nothing; each subclass is a dataclass with a code of its own."""

    code: RefusalCode
    detail: str


@dataclass
class TicketTypeNotFound(Refusal):
    ticket_type_id: str
    code: Literal["ticket_type_not_found"] = "ticket_type_not_found"
    detail: str = "There is no such ticket type."


@dataclass
class EventNotFound(Refusal):
    event_id: str
    code: Literal["event_not_found"] = "event_not_found"
    detail: str = "There is no such event."


@dataclass
class ItemNotInCart(Refusal):
    ticket_type_id: str
    code: Literal["item_not_in_cart"] = "item_not_in_cart"
    detail: str = "The cart holds no ticket of this type."


@dataclass
class UserNotFound(Refusal):
    code: Literal["user_not_found"] = "user_not_found"
    detail: str = "The user of this command does not exist."


@dataclass
class NotTheOrganizer(Refusal):
    code: Literal["not_the_organizer"] = "not_the_organizer"
    detail: str = "Only the organizer of the event may do this."


@dataclass
class EventEnded(Refusal):
    event_id: str
    code: Literal["event_ended"] = "event_ended"
    detail: str = "The event has ended."


@dataclass
class EventCancelled(Refusal):
    event_id: str
    code: Literal["event_cancelled"] = "event_cancelled"
    detail: str = "The event was cancelled."


@dataclass
class SaleNotStarted(Refusal):
    ticket_type_id: str
    sale_starts_at: datetime
    code: Literal["sale_not_started"] = "sale_not_started"
    detail: str = "The sale has not started."


@dataclass
class SaleEnded(Refusal):
    ticket_type_id: str
    sale_ends_at: datetime
    code: Literal["sale_ended"] = "sale_ended"
    detail: str = "The sale has ended."


@dataclass
class InsufficientAvailability(Refusal):
    ticket_type_id: str
    requested: int
    available: int
    code: Literal["insufficient_availability"] = "insufficient_availability"
    detail: str = "Fewer tickets are available than were asked for."


@dataclass
class LineTooLarge(Refusal):
    ticket_type_id: str
    requested: int
    """How many tickets the line would have."""
    allowed: int
    code: Literal["line_too_large"] = "line_too_large"
    detail: str = "The line of the cart would have too many tickets."


@dataclass
class CartFull(Refusal):
    allowed: int
    """How many lines a cart has at most."""
    code: Literal["cart_full"] = "cart_full"
    detail: str = "The cart would have too many lines."


@dataclass
class LimitExceeded(Refusal):
    ticket_type_id: str
    limit: Literal["order", "user"]
    """What the limit is for: one order, or all that a user has."""
    allowed: int
    requested: int
    """How many tickets the cart, or the user, would then hold."""
    code: Literal["limit_exceeded"] = "limit_exceeded"
    detail: str = "More tickets of this type are not allowed."


@dataclass
class HoldLimitReached(Refusal):
    expires_at: datetime
    code: Literal["hold_limit_reached"] = "hold_limit_reached"
    detail: str = "The cart cannot be held any longer."


@dataclass
class CartEmpty(Refusal):
    code: Literal["cart_empty"] = "cart_empty"
    detail: str = "The cart holds no ticket."


@dataclass
class TotalBelowCommitted(Refusal):
    reserved_quantity: int
    sold_quantity: int
    code: Literal["total_below_committed"] = "total_below_committed"
    detail: str = "More tickets are reserved and sold than the new total."


@dataclass
class TooManyTicketTypes(Refusal):
    allowed: int
    """How many ticket types an event has at most."""
    code: Literal["too_many_ticket_types"] = "too_many_ticket_types"
    detail: str = "The event has as many ticket types as it may have."


@dataclass
class EmailTaken(Refusal):
    code: Literal["email_taken"] = "email_taken"
    detail: str = "A user with this e-mail address or ID is registered."


@dataclass
class DeadlinePassed(Refusal):
    code: Literal["deadline_passed"] = "deadline_passed"
    detail: str = "The command's deadline passed before it was decided."


@dataclass
class StaleCommand(Refusal):
    code: Literal["stale_command"] = "stale_command"
    detail: str = "The command's ID is older than the window in which IDs are accepted."


@dataclass
class CommandIdReused(Refusal):
    code: Literal["command_id_reused"] = "command_id_reused"
    detail: str = "Another command was submitted under this ID."


@dataclass
class Unprocessable(Refusal):
    detail: str = "The command could not be applied and was set aside."
    code: Literal["unprocessable"] = "unprocessable"


REFUSALS: tuple[type[Refusal], ...] = tuple(Refusal.__subclasses__())
if TYPE_CHECKING:
    AnyRefusal: TypeAlias = Refusal
else:
    AnyRefusal = Union[REFUSALS]  # noqa: UP007 - the tuple is not known to a type checker
    """For pydantic, which reads a refusal as the class that has its code."""
