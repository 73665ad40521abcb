"""The rules of events and their ticket types: refusals in order of precedence."""

from shared import outcomes
from shared.bodies import MAX_QUANTITY, MAX_TICKET_TYPES
from shared.commands import (
    CancelEvent,
    ChangeEvent,
    ChangeTicketType,
    CreateEvent,
    CreateTicketType,
    EndEvent,
)
from shared.outcomes import EventResult, TicketTypeResult
from shared.refusals import (
    EventCancelled,
    EventEnded,
    EventNotFound,
    NotTheOrganizer,
    Refusal,
    TicketTypeNotFound,
    TooManyTicketTypes,
    TotalBelowCommitted,
    Unprocessable,
)
from worker.domain.book import Book, Event, TicketType


def create_event(book: Book, command: CreateEvent) -> EventResult | Refusal:
    if refusal := _refuse_agent(book, command.payment_agent_id):
        return refusal
    event = Event(
        id=command.command_id,
        organizer_id=command.user_id,
        name=command.name,
        starts_at=command.starts_at,
        ends_at=command.ends_at,
        status="active",
        currency=command.currency,
        payment_agent_id=command.payment_agent_id,
    )
    book.events[event.id] = event
    book.changes.new_events[event.id] = event
    return EventResult(event.to_document(book.now))


def change_event(book: Book, command: ChangeEvent) -> EventResult | Refusal:
    event = book.events.get(command.event_id)
    if event is None:
        return EventNotFound(command.event_id)
    if refusal := _refuse_organizing(book, event, command.user_id):
        return refusal
    starts_at = command.starts_at or event.starts_at
    ends_at = command.ends_at or event.ends_at
    if ends_at <= starts_at:
        return Unprocessable("The event would end before it starts.")
    if refusal := _refuse_agent(book, command.payment_agent_id):
        return refusal
    event.name = command.name or event.name
    event.starts_at = starts_at
    event.ends_at = ends_at
    event.payment_agent_id = command.payment_agent_id or event.payment_agent_id
    book.change_event(event)
    return EventResult(event.to_document(book.now))


def cancel_event(book: Book, command: CancelEvent) -> EventResult | Refusal:
    return _close_event(book, command, "cancelled")


def end_event(book: Book, command: EndEvent) -> EventResult | Refusal:
    return _close_event(book, command, "ended")


def create_ticket_type(book: Book, command: CreateTicketType) -> TicketTypeResult | Refusal:
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
        unit_price=command.unit_price,
        min_per_order=command.min_per_order,
        max_per_order=command.max_per_order,
        max_per_user=command.max_per_user,
    )
    book.add_ticket_type(ticket_type)
    return TicketTypeResult(ticket_type.to_document())


def change_ticket_type(book: Book, command: ChangeTicketType) -> TicketTypeResult | Refusal:
    ticket_type = book.ticket_types.get(command.ticket_type_id)
    if ticket_type is None:
        return TicketTypeNotFound(command.ticket_type_id)
    if refusal := _refuse_organizing(book, book.events[ticket_type.event_id], command.user_id):
        return refusal
    committed = ticket_type.reserved + ticket_type.sold
    total = committed if command.lower_to_committed else command.total_quantity
    total = ticket_type.total if total is None else total
    min_per_order = command.min_per_order or ticket_type.min_per_order
    max_per_order = command.max_per_order or ticket_type.max_per_order
    max_per_user = command.max_per_user or ticket_type.max_per_user
    sale_starts_at = command.sale_starts_at or ticket_type.sale_starts_at
    sale_ends_at = command.sale_ends_at or ticket_type.sale_ends_at
    if total < committed:
        return TotalBelowCommitted(ticket_type.reserved, ticket_type.sold)
    if sale_ends_at <= sale_starts_at:
        return Unprocessable("The sale would end before it starts.")
    if min_per_order > min(max_per_order or MAX_QUANTITY, max_per_user or MAX_QUANTITY):
        return Unprocessable("The fewest tickets of an order would be more than the most.")
    ticket_type.name = command.name or ticket_type.name
    ticket_type.total = total
    ticket_type.sale_starts_at = sale_starts_at
    ticket_type.sale_ends_at = sale_ends_at
    if command.unit_price is not None:
        ticket_type.unit_price = command.unit_price
    ticket_type.min_per_order = min_per_order
    ticket_type.max_per_order = max_per_order
    ticket_type.max_per_user = max_per_user
    book.change_ticket_type(ticket_type)
    return TicketTypeResult(ticket_type.to_document())


def _refuse_organizing(book: Book, event: Event, user_id: str) -> Refusal | None:
    """The rules for changing an event or what belongs to it, in order of precedence."""
    if event.organizer_id != user_id:
        return NotTheOrganizer()
    if event.has_ended(book.now):
        return EventEnded(event.id)
    if event.status == "cancelled":
        return EventCancelled(event.id)
    return None


def _refuse_agent(book: Book, payment_agent_id: str | None) -> Refusal | None:
    if payment_agent_id is not None and payment_agent_id not in book.user_ids:
        return Unprocessable("There is no such user to be the payment agent.")
    return None


def _close_event(
    book: Book, command: CancelEvent | EndEvent, status: outcomes.EventStatus
) -> EventResult | Refusal:
    event = book.events.get(command.event_id)
    if event is None:
        return EventNotFound(command.event_id)
    if refusal := _refuse_organizing(book, event, command.user_id):
        return refusal
    event.status = status
    book.change_event(event)
    return EventResult(event.to_document(book.now))
