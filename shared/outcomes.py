"""Outcomes of commands, and the results of those that succeeded.

Results are facts: plain dataclasses, cheap to make by the thousand. `Outcome` is the outcome
document of the contract, section 2.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from shared.commands import Command, Kind
from shared.messages import Unreadable, UnreadCommand
from shared.orders import Order, PaymentDecision
from shared.refusals import AnyRefusal, Refusal

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
    currency: str
    payment_agent_id: str
    """The user that may record payments."""


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
    unit_price: int
    """Minor units of the event's currency."""
    min_per_order: int
    max_per_order: int | None
    max_per_user: int | None


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


@dataclass(slots=True)
class OrderResult:
    order: Order


@dataclass(slots=True)
class PaymentResult:
    order: Order
    payment: PaymentDecision


Result = CartResult | UserResult | EventResult | TicketTypeResult | PaymentResult | OrderResult


@dataclass(slots=True)
class Outcome:
    """The outcome document. ID, kind and time are null only if the command could not be read."""

    command_id: str | None
    kind: Kind | None
    status: OutcomeStatus
    submitted_at: datetime | None
    decided_at: datetime | None
    result: Result | None
    refusal: Annotated[AnyRefusal, Field(discriminator="code")] | None


def succeeded(command: Command, result: Result, decided_at: datetime) -> Outcome:
    """Return the outcome of an applied command."""
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
    command: Command | UnreadCommand | Unreadable, refusal: Refusal, decided_at: datetime | None
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
    result = outcome.result
    if isinstance(result, CartResult) and result.cart.items:
        return _encode_success(outcome, result.cart)
    return _OUTCOME.dump_json(outcome).decode()


def _encode_success(outcome: Outcome, cart: Cart) -> str:
    """Encode a cart with items by hand, in a quarter of the time that pydantic takes.

    IDs are canonical and status words are fixed, so nothing needs to be escaped.
    """
    items = [
        f'{{"ticket_type_id":"{item.ticket_type_id}","event_id":"{item.event_id}",'
        f'"quantity":{item.quantity}}}'
        for item in cart.items
    ]
    return (
        f'{{"command_id":"{outcome.command_id}","kind":"{outcome.kind}",'
        f'"status":"{outcome.status}","submitted_at":{_encode_time(outcome.submitted_at)},'
        f'"decided_at":{_encode_time(outcome.decided_at)},'
        f'"result":{{"cart":{{"id":"{cart.id}","status":"{cart.status}",'
        f'"expires_at":{_encode_time(cart.expires_at)},"items":[{",".join(items)}]}}}},'
        '"refusal":null}'
    )


@lru_cache(maxsize=1024)  # all outcomes of a batch share one time, and all its new carts another
def _encode_time(at: datetime | None) -> str:
    return "null" if at is None else f'"{at.isoformat().removesuffix("+00:00")}Z"'


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
