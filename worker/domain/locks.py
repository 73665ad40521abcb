"""What each command locks: the rows that `decide` reads and changes for it.

A command locks the row of its user; this lock serialises all changes of the user's cart. A command
that names an order locks the row of the order's buyer instead, which serialises all changes of the
order: one payment agent sends all payments of an event, and its row would serialise them all.
Storage also locks the ticket types in these carts and orders, and those of the events.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, assert_never

from shared.commands import (
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
    OrderCommand,
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
    wanted: list[tuple[str, str]] = field(default_factory=list)
    """Users and the ticket types of which they want to hold more: limits of a user apply."""
    limited: set[str] = field(default_factory=set)
    """Ticket types that get a new limit for each user."""
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

    def add_order(self, command: OrderCommand) -> None:
        """Lock the order's buyer instead of the sender."""
        self.order_ids.add(command.order_id)
        self.sender_ids.add(command.user_id)


def lock_request(commands: Iterable[Command | UnreadCommand]) -> LockRequest:
    """Return what the commands of a batch lock together."""
    request = LockRequest()
    for command in commands:
        match command:
            case ReserveTickets():
                ids = [line.ticket_type_id for line in command.items]
                request.ticket_type_ids.update(ids)
                request.wanted += [(command.user_id, id) for id in ids]
            case SetQuantity():
                request.ticket_type_ids.add(command.ticket_type_id)
                request.wanted.append((command.user_id, command.ticket_type_id))
            case ChangeTicketType():
                request.ticket_type_ids.add(command.ticket_type_id)
                if command.max_per_user is not None:
                    request.limited.add(command.ticket_type_id)
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
            case ReleaseItem() | ReleaseCart() | ExtendHold():
                pass  # the ticket types in the user's cart
            case UnreadCommand():
                pass  # it changes nothing
            case RecordPayment():
                request.add_order(command)
                request.payment_ids.append((command.order_id, command.payment_id))
                continue
            case RecordRefund():
                request.add_order(command)
                request.refund_ids.append((command.order_id, command.refund_id))
                continue
            case ReleaseTickets() | CancelOrder() | ExtendOrder():
                request.add_order(command)
                continue
            case _:
                assert_never(command)
        request.user_ids.add(command.user_id)
    return request


def _agent(command: CreateEvent | ChangeEvent) -> set[str]:
    """Return the payment agent that the command names, who must exist."""
    return {command.payment_agent_id} if command.payment_agent_id else set()
