"""The rules of events and their ticket types, as the contract tells them."""

from datetime import datetime
from typing import assert_never

from reliability.simulation.checks.state import State
from reliability.simulation.fakes.tables import EventRow, TicketTypeRow
from shared.commands import (
    CancelEvent,
    ChangeEvent,
    ChangeTicketType,
    CreateEvent,
    CreateTicketType,
    EndEvent,
)

CatalogueCommand = (
    CreateEvent | ChangeEvent | CancelEvent | EndEvent | CreateTicketType | ChangeTicketType
)


class Catalogue:
    """Decides organizers' commands on the state of the model."""

    def __init__(self, state: State) -> None:
        self._state = state

    def refusal(self, command: CatalogueCommand, at: datetime) -> str | None:
        match command:
            case CreateEvent():
                agent = command.payment_agent_id
                return None if agent in (None, *self._state.users) else "unprocessable"
            case CancelEvent() | EndEvent() | CreateTicketType():
                if command.event_id not in self._state.events:
                    return "event_not_found"
                return self._refusal_to_organize(command.event_id, command.user_id, at)
            case ChangeEvent():
                return self._refusal_to_change_event(command, at)
            case ChangeTicketType():
                return self._refusal_to_change_type(command, at)
            case _:
                assert_never(command)

    def _refusal_to_organize(self, event_id: str, user_id: str, at: datetime) -> str | None:
        if self._state.events[event_id].organizer_id != user_id:
            return "not_the_organizer"
        return self.refusal_of_event(event_id, at)

    def refusal_of_event(self, event_id: str, at: datetime) -> str | None:
        event = self._state.events[event_id]
        if event.status == "ended" or at >= event.ends_at:
            return "event_ended"
        return "event_cancelled" if event.status == "cancelled" else None

    def _refusal_to_change_event(self, command: ChangeEvent, at: datetime) -> str | None:
        event = self._state.events.get(command.event_id)
        if event is None:
            return "event_not_found"
        if refusal := self._refusal_to_organize(event.id, command.user_id, at):
            return refusal
        changed = _changed_event(event, command)
        there = changed.payment_agent_id in (None, *self._state.users)
        in_order = changed.starts_at < changed.ends_at
        return None if there and in_order else "unprocessable"

    def _refusal_to_change_type(self, command: ChangeTicketType, at: datetime) -> str | None:
        row = self._state.ticket_types.get(command.ticket_type_id)
        if row is None:
            return "ticket_type_not_found"
        if refusal := self._refusal_to_organize(row.event_id, command.user_id, at):
            return refusal
        committed = row.total - self._state.available(row.id)
        if command.total_quantity is not None and command.total_quantity < committed:
            return "total_below_committed"
        changed = self._changed(row, command)
        limits = [n for n in (changed.max_per_order, changed.max_per_user) if n is not None]
        if changed.min_per_order > min(limits, default=changed.min_per_order):
            return "unprocessable"
        return "unprocessable" if changed.sale_ends_at <= changed.sale_starts_at else None

    def apply(self, command: CatalogueCommand) -> None:
        match command:
            case CreateEvent():
                self._state.events[command.command_id] = EventRow(
                    command.command_id, command.user_id, command.name,
                    command.starts_at, command.ends_at, "active", command.currency,
                    command.payment_agent_id,
                )  # fmt: skip
            case ChangeEvent():
                event = self._state.events[command.event_id]
                self._state.events[event.id] = _changed_event(event, command)
            case CancelEvent() | EndEvent():
                status = "cancelled" if isinstance(command, CancelEvent) else "ended"
                event = self._state.events[command.event_id]
                self._state.events[event.id] = event._replace(status=status)
            case CreateTicketType():
                self._state.ticket_types[command.command_id] = TicketTypeRow(
                    command.command_id, command.event_id, command.name, command.total_quantity,
                    0, 0, command.sale_starts_at, command.sale_ends_at, command.unit_price,
                    command.min_per_order, command.max_per_order, command.max_per_user,
                )  # fmt: skip
            case ChangeTicketType():
                row = self._state.ticket_types[command.ticket_type_id]
                self._state.ticket_types[row.id] = self._changed(row, command)
            case _:
                assert_never(command)

    def _changed(self, row: TicketTypeRow, command: ChangeTicketType) -> TicketTypeRow:
        given = command.model_dump(exclude_none=True, include=set(TicketTypeRow._fields))
        total = command.total_quantity
        if command.lower_to_committed:
            total = row.total - self._state.available(row.id)
        return row._replace(**given, total=row.total if total is None else total)


def _changed_event(event: EventRow, command: ChangeEvent) -> EventRow:
    return event._replace(
        name=command.name or event.name,
        starts_at=command.starts_at or event.starts_at,
        ends_at=command.ends_at or event.ends_at,
        payment_agent_id=command.payment_agent_id or event.payment_agent_id,
    )
