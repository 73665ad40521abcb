"""What each command locks: the rows that `decide` reads and changes for it.

A command locks its user, who guards the user's cart. A command that names an order locks the
order's buyer instead, who guards the order: all payments of an event come from one user, whose row
would be one queue for all of them. With the ticket types in a cart or an order, and with the ticket
types of an event, storage locks more on its own.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from shared.commands import (
    ORDER_COMMANDS,
    CancelEvent,
    CancelOrder,
    ChangeEvent,
    ChangeTicketType,
    CheckOut,
    Command,
    CreateEvent,
    CreateTicketType,
    EndEvent,
    ExtendHold,
    ExtendOrder,
    RecordPayment,
    RecordRefund,
    RegisterUser,
    ReleaseCart,
    ReleaseItem,
    ReleaseTickets,
    ReserveTickets,
    SetQuantity,
)
from shared.messages import UnreadCommand


class Due(NamedTuple):
    """A hold that is over: the cart of a user, or one of the user's orders.

    An order whose event is cancelled is due too.
    """

    user_id: str
    order_id: str | None = None


@dataclass(slots=True)
class LockRequest:
    """The IDs that the commands of a batch name."""

    user_ids: set[str] = field(default_factory=set)
    ticket_type_ids: set[str] = field(default_factory=set)
    """Ticket types to hold more of, or to change. Due holds of them end first."""
    event_ids: set[str] = field(default_factory=set)
    """Events to change, or to add ticket types to. All their ticket types are locked too."""
    emails: set[str] = field(default_factory=set)
    """Addresses to register, in lower case. They are looked up, not locked."""
    order_ids: set[str] = field(default_factory=set)
    """Orders whose buyers are locked."""
    sender_ids: set[str] = field(default_factory=set)
    """Users that must exist, and are not locked."""
    check_outs: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Users that check out and the event, by the ID of the new order."""
    payment_ids: list[tuple[str, str]] = field(default_factory=list)
    """Orders and the payment IDs that are to be recorded for them."""
    refund_ids: list[tuple[str, str]] = field(default_factory=list)
    """Orders and the refund IDs that are to be recorded for them."""


def lock_request(commands: Iterable[Command | UnreadCommand]) -> LockRequest:
    """Return what the commands of a batch lock together."""
    request = LockRequest()
    for command in commands:
        if isinstance(command, ORDER_COMMANDS):
            request.order_ids.add(command.order_id)
            request.sender_ids.add(command.user_id)
        else:
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
            case CheckOut():
                request.check_outs[command.command_id] = (command.user_id, command.event_id)
            case RecordPayment():
                request.payment_ids.append((command.order_id, command.payment_id))
            case RecordRefund():
                request.refund_ids.append((command.order_id, command.refund_id))
            case ReleaseItem() | ReleaseCart() | ExtendHold():
                pass  # the user, and the ticket types in the user's cart
            case ReleaseTickets() | CancelOrder() | ExtendOrder():
                pass  # the order's buyer, and the ticket types in the order
            case UnreadCommand():
                pass  # it changes nothing
            case _:
                assert_never(command)
    return request


def _agent(command: CreateEvent | ChangeEvent) -> set[str]:
    """Return the payment agent that the command names, who must exist."""
    return {command.payment_agent_id} if command.payment_agent_id else set()
