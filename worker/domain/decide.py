"""Decides a command: one function for each kind, its refusals in order of precedence.

A decision is the result or the refusal; on success the function has changed the book. The rules
of carts, of events and ticket types, of orders and of their money are in `cart`, `catalogue`,
`ordering` and `payments`.
"""

from typing import assert_never

from shared import outcomes
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
    RecordPayment,
    RecordRefund,
    RegisterUser,
    ReleaseCart,
    ReleaseItem,
    ReleaseTickets,
    ReserveTickets,
    SetQuantity,
)
from shared.outcomes import Result, UserResult
from shared.refusals import DeadlinePassed, EmailTaken, Refusal, StaleCommand, UserNotFound
from worker.domain import cart, catalogue, ordering, payments
from worker.domain.book import Book, User

Decision = Result | Refusal


def decide(book: Book, command: Command) -> Decision:
    """Decide one command that was never decided before."""
    if command.command_id < book.oldest_command_id:
        return StaleCommand()
    if command.deadline is not None and command.deadline <= book.now:
        return DeadlinePassed()
    if command.user_id not in book.user_ids and not isinstance(command, RegisterUser):
        return UserNotFound()
    match command:
        case ReserveTickets():
            return cart.reserve_tickets(book, command)
        case SetQuantity():
            return cart.set_quantity(book, command)
        case ReleaseItem():
            return cart.release_item(book, command)
        case ReleaseCart():
            return cart.release_cart(book, command)
        case ExtendHold():
            return cart.extend_hold(book, command)
        case CheckOut():
            return ordering.check_out(book, command)
        case CancelOrder():
            return ordering.cancel_order(book, command)
        case ReleaseTickets():
            return ordering.release_tickets(book, command)
        case ExtendOrder():
            return ordering.extend_order(book, command)
        case RecordPayment():
            return payments.record_payment(book, command)
        case RecordRefund():
            return payments.record_refund(book, command)
        case RegisterUser():
            return register_user(book, command)
        case CreateEvent():
            return catalogue.create_event(book, command)
        case ChangeEvent():
            return catalogue.change_event(book, command)
        case CancelEvent():
            return catalogue.cancel_event(book, command)
        case EndEvent():
            return catalogue.end_event(book, command)
        case CreateTicketType():
            return catalogue.create_ticket_type(book, command)
        case ChangeTicketType():
            return catalogue.change_ticket_type(book, command)
        case _:
            assert_never(command)


def register_user(book: Book, command: RegisterUser) -> Decision:
    if command.user_id in book.user_ids or command.email.lower() in book.emails:
        return EmailTaken()
    book.user_ids.add(command.user_id)
    book.emails.add(command.email.lower())
    book.changes.new_users.append(
        User(command.user_id, command.email, command.password_hash, book.now)
    )
    return UserResult(outcomes.User(command.user_id, command.email))
