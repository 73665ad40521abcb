"""What each command locks: the rows that `decide` reads and changes for it.

Every command locks its user, who guards the user's cart. With the ticket types in a cart, and
with the ticket types of an event, storage locks more on its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import assert_never

from shared.commands import (
    CancelEvent,
    ChangeEvent,
    ChangeTicketType,
    Command,
    CreateEvent,
    CreateTicketType,
    EndEvent,
    ExtendHold,
    RegisterUser,
    ReleaseCart,
    ReleaseItem,
    ReserveTickets,
    SetQuantity,
)


@dataclass(slots=True)
class LockRequest:
    """The IDs that the commands of a batch name."""

    user_ids: set[str] = field(default_factory=set)
    ticket_type_ids: set[str] = field(default_factory=set)
    """Ticket types to hold more of, or to change. Due carts that hold them expire first."""
    event_ids: set[str] = field(default_factory=set)
    """Events to change, or to add ticket types to. All their ticket types are locked too."""
    emails: set[str] = field(default_factory=set)
    """Addresses to register, in lower case. They are looked up, not locked."""


def lock_request(commands: Iterable[Command]) -> LockRequest:
    """Return what the commands of a batch lock together."""
    request = LockRequest()
    for command in commands:
        request.user_ids.add(command.user_id)
        match command:
            case ReserveTickets():
                request.ticket_type_ids.update([line.ticket_type_id for line in command.items])
            case SetQuantity() | ChangeTicketType():
                request.ticket_type_ids.add(command.ticket_type_id)
            case CancelEvent() | EndEvent() | CreateTicketType():
                request.event_ids.add(command.event_id)
            case ChangeEvent():
                request.event_ids.add(command.event_id)
                request.user_ids.update(_agent(command))
            case RegisterUser():
                request.emails.add(command.email.lower())
            case CreateEvent():
                request.user_ids.update(_agent(command))
            case ReleaseItem() | ReleaseCart() | ExtendHold():
                pass  # the user, and the ticket types in the user's cart
            case _:
                assert_never(command)
    return request


def _agent(command: CreateEvent | ChangeEvent) -> set[str]:
    """Return the payment agent that the command names, who must exist."""
    return {command.payment_agent_id} if command.payment_agent_id else set()
