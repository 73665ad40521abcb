"""What became of a command: outcomes, results, and every reason for a refusal.

Results and refusals are facts, plain and cheap to make by the thousand. `Outcome` is the
outcome document of the contract.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import Field, TypeAdapter

from shared.commands import Command, Kind, Unreadable

EventStatus = Literal["active", "cancelled", "ended"]
OutcomeStatus = Literal["pending", "succeeded", "refused"]


@dataclass(slots=True)
class User:
    id: str
    email: str


@dataclass(slots=True)
class Event:
    id: str
    organizer_id: str
    name: str
    starts_at: datetime
    ends_at: datetime
    status: EventStatus


@dataclass(slots=True)
class TicketType:
    id: str
    event_id: str
    name: str
    total_quantity: int
    reserved_quantity: int
    sold_quantity: int
    available: int
    sale_starts_at: datetime
    sale_ends_at: datetime


@dataclass(slots=True)
class CartItem:
    ticket_type_id: str
    event_id: str
    quantity: int


@dataclass(slots=True)
class Cart:
    id: str | None
    status: Literal["active", "empty"]
    expires_at: datetime | None
    items: list[CartItem]


EMPTY_CART = Cart(id=None, status="empty", expires_at=None, items=[])


@dataclass(slots=True)
class UserResult:
    user: User


@dataclass(slots=True)
class EventResult:
    event: Event


@dataclass(slots=True)
class TicketTypeResult:
    ticket_type: TicketType


@dataclass(slots=True)
class CartResult:
    cart: Cart


Result = CartResult | UserResult | EventResult | TicketTypeResult


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
class TotalBelowCommitted:
    reserved_quantity: int
    sold_quantity: int
    code: Literal["total_below_committed"] = "total_below_committed"
    detail: str = "More tickets are reserved and sold than the new total."


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
    | TotalBelowCommitted
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
    "total_below_committed",
    "email_taken",
    "deadline_passed",
    "stale_command",
    "command_id_reused",
    "unprocessable",
]
REFUSAL_CODES: tuple[RefusalCode, ...] = get_args(RefusalCode)


@dataclass(slots=True)
class Outcome:
    """The outcome document. The ID, kind and time are null only where none could be read."""

    command_id: str | None
    kind: Kind | None
    status: OutcomeStatus
    submitted_at: datetime | None
    decided_at: datetime | None
    result: Result | None
    refusal: Annotated[Refusal, Field(discriminator="code")] | None


def succeeded(command: Command, result: Result, decided_at: datetime) -> Outcome:
    """Return the outcome of a command that was applied."""
    return Outcome(
        command.command_id,
        command.kind,
        "succeeded",
        command.submitted_at,
        decided_at,
        result,
        None,
    )


def refused(
    command: Command | Unreadable, refusal: Refusal, decided_at: datetime | None
) -> Outcome:
    """Return the outcome of a command that changed nothing."""
    return Outcome(
        command.command_id,
        command.kind,
        "refused",
        command.submitted_at,
        decided_at,
        None,
        refusal,
    )


_OUTCOME: TypeAdapter[Outcome] = TypeAdapter(Outcome)
_OUTCOMES: TypeAdapter[list[Outcome]] = TypeAdapter(list[Outcome])


def encode_outcome(outcome: Outcome) -> str:
    """Return the outcome document as JSON text."""
    return _OUTCOME.dump_json(outcome).decode()


def decode_outcome(document: str | bytes) -> Outcome:
    """Read an outcome document."""
    return _OUTCOME.validate_json(document)


def encode_reply(documents: list[str]) -> bytes:
    """Return the body of a reply: the documents, in the order of the commands."""
    return f"[{','.join(documents)}]".encode()


def encode_merged_reply(replies: dict[str, list[str]]) -> bytes:
    """Return the body of a merged reply: the documents of each message by its correlation ID."""
    members = (f"{json.dumps(id)}:[{','.join(documents)}]" for id, documents in replies.items())
    return f"{{{','.join(members)}}}".encode()


def decode_reply(body: bytes) -> list[Outcome]:
    """Read the body of a reply."""
    return _OUTCOMES.validate_json(body)
