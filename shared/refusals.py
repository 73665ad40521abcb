"""Every reason for a refusal: a stable code, a sentence for people, and the data behind it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args


@dataclass(slots=True)
class TicketTypeNotFound:
    ticket_type_id: str
    code: Literal["ticket_type_not_found"] = "ticket_type_not_found"
    detail: str = "There is no such ticket type."


@dataclass(slots=True)
class EventNotFound:
    event_id: str
    code: Literal["event_not_found"] = "event_not_found"
    detail: str = "There is no such event."


@dataclass(slots=True)
class ItemNotInCart:
    ticket_type_id: str
    code: Literal["item_not_in_cart"] = "item_not_in_cart"
    detail: str = "The cart holds no ticket of this type."


@dataclass(slots=True)
class UserNotFound:
    code: Literal["user_not_found"] = "user_not_found"
    detail: str = "The user of this command does not exist."


@dataclass(slots=True)
class NotTheOrganizer:
    code: Literal["not_the_organizer"] = "not_the_organizer"
    detail: str = "Only the organizer of the event may do this."


@dataclass(slots=True)
class EventEnded:
    event_id: str
    code: Literal["event_ended"] = "event_ended"
    detail: str = "The event has ended."


@dataclass(slots=True)
class EventCancelled:
    event_id: str
    code: Literal["event_cancelled"] = "event_cancelled"
    detail: str = "The event was cancelled."


@dataclass(slots=True)
class SaleNotStarted:
    ticket_type_id: str
    sale_starts_at: datetime
    code: Literal["sale_not_started"] = "sale_not_started"
    detail: str = "The sale has not started."


@dataclass(slots=True)
class SaleEnded:
    ticket_type_id: str
    sale_ends_at: datetime
    code: Literal["sale_ended"] = "sale_ended"
    detail: str = "The sale has ended."


@dataclass(slots=True)
class InsufficientAvailability:
    ticket_type_id: str
    requested: int
    available: int
    code: Literal["insufficient_availability"] = "insufficient_availability"
    detail: str = "Fewer tickets are available than were asked for."


@dataclass(slots=True)
class LineTooLarge:
    ticket_type_id: str
    requested: int
    """How many tickets the line would have."""
    allowed: int
    code: Literal["line_too_large"] = "line_too_large"
    detail: str = "The line of the cart would have too many tickets."


@dataclass(slots=True)
class CartFull:
    allowed: int
    """How many lines a cart has at most."""
    code: Literal["cart_full"] = "cart_full"
    detail: str = "The cart would have too many lines."


@dataclass(slots=True)
class TotalBelowCommitted:
    reserved_quantity: int
    sold_quantity: int
    code: Literal["total_below_committed"] = "total_below_committed"
    detail: str = "More tickets are reserved and sold than the new total."


@dataclass(slots=True)
class TooManyTicketTypes:
    allowed: int
    """How many ticket types an event has at most."""
    code: Literal["too_many_ticket_types"] = "too_many_ticket_types"
    detail: str = "The event has as many ticket types as it may have."


@dataclass(slots=True)
class EmailTaken:
    code: Literal["email_taken"] = "email_taken"
    detail: str = "A user with this e-mail address or ID is registered."


@dataclass(slots=True)
class DeadlinePassed:
    code: Literal["deadline_passed"] = "deadline_passed"
    detail: str = "The command's deadline passed before it was decided."


@dataclass(slots=True)
class StaleCommand:
    code: Literal["stale_command"] = "stale_command"
    detail: str = "The command's ID is older than the window in which IDs are accepted."


@dataclass(slots=True)
class CommandIdReused:
    code: Literal["command_id_reused"] = "command_id_reused"
    detail: str = "Another command was submitted under this ID."


@dataclass(slots=True)
class Unprocessable:
    detail: str = "The command could not be applied and was set aside."
    code: Literal["unprocessable"] = "unprocessable"


Refusal = (
    TicketTypeNotFound
    | EventNotFound
    | ItemNotInCart
    | UserNotFound
    | NotTheOrganizer
    | EventEnded
    | EventCancelled
    | SaleNotStarted
    | SaleEnded
    | InsufficientAvailability
    | LineTooLarge
    | CartFull
    | TotalBelowCommitted
    | TooManyTicketTypes
    | EmailTaken
    | DeadlinePassed
    | StaleCommand
    | CommandIdReused
    | Unprocessable
)
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
    "total_below_committed",
    "too_many_ticket_types",
    "email_taken",
    "deadline_passed",
    "stale_command",
    "command_id_reused",
    "unprocessable",
]
REFUSAL_CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)
