"""The rules of events and their ticket types: refusals in order of precedence."""

from shared import outcomes
from shared.bodies import MAX_TICKET_TYPES
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
    event.name = command.name or event.name
    event.starts_at = starts_at
    event.ends_at = ends_at
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
    )
    book.add_ticket_type(ticket_type)
    return TicketTypeResult(ticket_type.to_document())


def change_ticket_type(book: Book, command: ChangeTicketType) -> TicketTypeResult | Refusal:
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
) -> EventResult | Refusal:
    event = book.events.get(command.event_id)
    if event is None:
        return EventNotFound(command.event_id)
    if refusal := _refuse_organizing(book, event, command.user_id):
        return refusal
    event.status = status
    book.change_event(event)
    return EventResult(event.to_document(book.now))
