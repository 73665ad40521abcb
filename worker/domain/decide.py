"""Decides a command: one function for each kind, its refusals in order of precedence.

A decision is the result or the refusal; on success the function has changed the book.
"""

from collections.abc import Iterable, Mapping
from typing import assert_never

from shared import outcomes
from shared.commands import (
    MAX_CART_LINES,
    MAX_QUANTITY,
    MAX_TICKET_TYPES,
    CancelEvent,
    ChangeEvent,
    ChangeTicketType,
    Command,
    CreateEvent,
    CreateTicketType,
    EndEvent,
    RegisterUser,
    ReleaseCart,
    ReleaseItem,
    ReserveTickets,
    SetQuantity,
)
from shared.outcomes import (
    EMPTY_CART,
    CartItem,
    CartResult,
    EventResult,
    Result,
    TicketTypeResult,
    UserResult,
)
from shared.refusals import (
    CartFull,
    DeadlinePassed,
    EmailTaken,
    EventCancelled,
    EventEnded,
    EventNotFound,
    InsufficientAvailability,
    ItemNotInCart,
    LineTooLarge,
    NotTheOrganizer,
    Refusal,
    SaleEnded,
    SaleNotStarted,
    StaleCommand,
    TicketTypeNotFound,
    TooManyTicketTypes,
    TotalBelowCommitted,
    Unprocessable,
    UserNotFound,
)
from worker.domain.book import Book, Event, TicketType, User

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
            return reserve_tickets(book, command)
        case SetQuantity():
            return set_quantity(book, command)
        case ReleaseItem():
            return release_item(book, command)
        case ReleaseCart():
            return release_cart(book, command)
        case RegisterUser():
            return register_user(book, command)
        case CreateEvent():
            return create_event(book, command)
        case ChangeEvent():
            return change_event(book, command)
        case CancelEvent():
            return cancel_event(book, command)
        case EndEvent():
            return end_event(book, command)
        case CreateTicketType():
            return create_ticket_type(book, command)
        case ChangeTicketType():
            return change_ticket_type(book, command)
        case _:
            assert_never(command)


def reserve_tickets(book: Book, command: ReserveTickets) -> Decision:
    quantities: dict[str, int] = {}
    for item in command.items:
        quantities[item.ticket_type_id] = quantities.get(item.ticket_type_id, 0) + item.quantity
    cart = book.carts.get(command.user_id)
    lines = cart.lines if cart else {}
    for ticket_type_id, quantity in quantities.items():
        if refusal := _refuse_hold(book, lines, ticket_type_id, quantity):
            return refusal
    if refusal := _refuse_lines(lines, quantities):
        return refusal
    for ticket_type_id, quantity in quantities.items():
        ticket_type = book.ticket_types[ticket_type_id]
        book.hold(command.user_id, ticket_type, quantity, cart_id=command.command_id)
    return _cart(book, command.user_id)


def set_quantity(book: Book, command: SetQuantity) -> Decision:
    cart = book.carts.get(command.user_id)
    lines = cart.lines if cart else {}
    held = lines.get(command.ticket_type_id, 0)
    more = command.quantity - held
    if more > 0:
        if refusal := _refuse_hold(book, lines, command.ticket_type_id, more):
            return refusal
        if refusal := _refuse_lines(lines, [command.ticket_type_id]):
            return refusal
        ticket_type = book.ticket_types[command.ticket_type_id]
        book.hold(command.user_id, ticket_type, more, cart_id=command.command_id)
    elif cart is None or held == 0:
        return ItemNotInCart(command.ticket_type_id)
    elif more < 0:
        book.give_back(cart, command.ticket_type_id, -more)
    return _cart(book, command.user_id)


def release_item(book: Book, command: ReleaseItem) -> Decision:
    cart = book.carts.get(command.user_id)
    if cart is None or command.ticket_type_id not in cart.lines:
        return ItemNotInCart(command.ticket_type_id)
    book.give_back(cart, command.ticket_type_id, cart.lines[command.ticket_type_id])
    return _cart(book, command.user_id)


def release_cart(book: Book, command: ReleaseCart) -> Decision:
    if cart := book.carts.get(command.user_id):
        book.release(cart)
    return _cart(book, command.user_id)


def register_user(book: Book, command: RegisterUser) -> Decision:
    if command.user_id in book.user_ids or command.email.lower() in book.emails:
        return EmailTaken()
    book.user_ids.add(command.user_id)
    book.emails.add(command.email.lower())
    book.changes.new_users.append(
        User(command.user_id, command.email, command.password_hash, book.now)
    )
    return UserResult(outcomes.User(command.user_id, command.email))


def create_event(book: Book, command: CreateEvent) -> Decision:
    event = Event(
        id=command.command_id,
        organizer_id=command.user_id,
        name=command.name,
        starts_at=command.starts_at,
        ends_at=command.ends_at,
        status="active",
    )
    book.events[event.id] = event
    book.changes.new_events[event.id] = event
    return EventResult(event.to_document(book.now))


def change_event(book: Book, command: ChangeEvent) -> Decision:
    event = book.events.get(command.event_id)
    if event is None:
        return EventNotFound(command.event_id)
    if refusal := _refuse_organizing(book, event, command.user_id):
        return refusal
    starts_at = command.starts_at or event.starts_at
    ends_at = command.ends_at or event.ends_at
    if ends_at <= starts_at:
        return Unprocessable("The event would end before it starts.")
    event.name = command.name or event.name
    event.starts_at = starts_at
    event.ends_at = ends_at
    book.change_event(event)
    return EventResult(event.to_document(book.now))


def cancel_event(book: Book, command: CancelEvent) -> Decision:
    return _close_event(book, command, "cancelled")


def end_event(book: Book, command: EndEvent) -> Decision:
    return _close_event(book, command, "ended")


def create_ticket_type(book: Book, command: CreateTicketType) -> Decision:
    event = book.events.get(command.event_id)
    if event is None:
        return EventNotFound(command.event_id)
    if refusal := _refuse_organizing(book, event, command.user_id):
        return refusal
    if book.count_ticket_types(event.id) >= MAX_TICKET_TYPES:
        return TooManyTicketTypes(MAX_TICKET_TYPES)
    ticket_type = TicketType(
        id=command.command_id,
        event_id=event.id,
        name=command.name,
        total=command.total_quantity,
        reserved=0,
        sold=0,
        sale_starts_at=command.sale_starts_at,
        sale_ends_at=command.sale_ends_at,
    )
    book.add_ticket_type(ticket_type)
    return TicketTypeResult(ticket_type.to_document())


def change_ticket_type(book: Book, command: ChangeTicketType) -> Decision:
    ticket_type = book.ticket_types.get(command.ticket_type_id)
    if ticket_type is None:
        return TicketTypeNotFound(command.ticket_type_id)
    if refusal := _refuse_organizing(book, book.events[ticket_type.event_id], command.user_id):
        return refusal
    total = ticket_type.total if command.total_quantity is None else command.total_quantity
    sale_starts_at = command.sale_starts_at or ticket_type.sale_starts_at
    sale_ends_at = command.sale_ends_at or ticket_type.sale_ends_at
    if total < ticket_type.reserved + ticket_type.sold:
        return TotalBelowCommitted(ticket_type.reserved, ticket_type.sold)
    if sale_ends_at <= sale_starts_at:
        return Unprocessable("The sale would end before it starts.")
    ticket_type.name = command.name or ticket_type.name
    ticket_type.total = total
    ticket_type.sale_starts_at = sale_starts_at
    ticket_type.sale_ends_at = sale_ends_at
    book.change_ticket_type(ticket_type)
    return TicketTypeResult(ticket_type.to_document())


def _refuse_hold(
    book: Book, lines: Mapping[str, int], ticket_type_id: str, quantity: int
) -> Refusal | None:
    """The rules for holding `quantity` more tickets of a type, in order of precedence."""
    ticket_type = book.ticket_types.get(ticket_type_id)
    if ticket_type is None:
        return TicketTypeNotFound(ticket_type_id)
    event = book.events[ticket_type.event_id]
    if event.has_ended(book.now):
        return EventEnded(event.id)
    if event.status == "cancelled":
        return EventCancelled(event.id)
    if book.now < ticket_type.sale_starts_at:
        return SaleNotStarted(ticket_type_id, ticket_type.sale_starts_at)
    if ticket_type.sale_ends_at <= book.now:
        return SaleEnded(ticket_type_id, ticket_type.sale_ends_at)
    if quantity > ticket_type.available:
        return InsufficientAvailability(ticket_type_id, quantity, ticket_type.available)
    if (requested := lines.get(ticket_type_id, 0) + quantity) > MAX_QUANTITY:
        return LineTooLarge(ticket_type_id, requested, MAX_QUANTITY)
    return None


def _refuse_lines(lines: Mapping[str, int], wanted: Iterable[str]) -> Refusal | None:
    """The rule for adding lines to a cart; more of a line that is there adds none."""
    new_lines = sum(ticket_type_id not in lines for ticket_type_id in wanted)
    if new_lines and len(lines) + new_lines > MAX_CART_LINES:
        return CartFull(MAX_CART_LINES)
    return None


def _refuse_organizing(book: Book, event: Event, user_id: str) -> Refusal | None:
    """The rules for changing an event or what belongs to it, in order of precedence."""
    if event.organizer_id != user_id:
        return NotTheOrganizer()
    if event.has_ended(book.now):
        return EventEnded(event.id)
    if event.status == "cancelled":
        return EventCancelled(event.id)
    return None


def _close_event(
    book: Book, command: CancelEvent | EndEvent, status: outcomes.EventStatus
) -> Decision:
    event = book.events.get(command.event_id)
    if event is None:
        return EventNotFound(command.event_id)
    if refusal := _refuse_organizing(book, event, command.user_id):
        return refusal
    event.status = status
    book.change_event(event)
    return EventResult(event.to_document(book.now))


def _cart(book: Book, user_id: str) -> CartResult:
    """The user's cart as it now is."""
    cart = book.carts.get(user_id)
    if cart is None:
        return CartResult(EMPTY_CART)
    items = [
        CartItem(ticket_type_id, book.ticket_types[ticket_type_id].event_id, quantity)
        for ticket_type_id, quantity in sorted(cart.lines.items())
    ]
    return CartResult(outcomes.Cart(cart.id, "active", cart.expires_at, items))
