"""A model of the contract's rules, which gives the expected outcome of each command.

It shares no code with the worker's domain. It follows the commits in their order and reports each
outcome that does not follow from those before it.
"""

import json
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, assert_never

from reliability.simulation.fakes.tables import Committed, EventRow, Table, TicketTypeRow
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
from shared.ids import unix_ms

CART_COMMANDS = (ReserveTickets, SetQuantity, ReleaseItem, ReleaseCart, ExtendHold)
NOT_FOUND = {"user_not_found", "event_not_found", "ticket_type_not_found"}


@dataclass
class Hold:
    """An active cart."""

    cart_id: str
    opened_at: datetime
    expires_at: datetime
    lines: Counter[str]


class Model:
    """The expected state after the outcomes so far."""

    def __init__(
        self,
        tables: dict[Table, dict[Any, Any]],
        hold: timedelta,
        max_hold: timedelta,
        window: timedelta,
    ) -> None:
        self.users = set(tables["users"])
        self.emails = {user.email for user in tables["users"].values()}
        self.events: dict[str, EventRow] = dict(tables["events"])
        self.ticket_types: dict[str, TicketTypeRow] = dict(tables["ticket_types"])
        self.holds: dict[str, Hold] = {}
        self._born: dict[str, datetime] = {}
        """When users, events and ticket types were committed."""
        self._hold = hold
        self._max_hold = max_hold
        self._window = window

    def expire(self, cart_id: str, clock: datetime) -> str | None:
        """Close a cart; return violations."""
        for user, hold in self.holds.items():
            if hold.cart_id == cart_id:
                del self.holds[user]
                early = hold.expires_at > clock
                return f"I9: cart {cart_id} expired too early" if early else None
        return f"I9: cart {cart_id} expired, and was not active"

    def enter(
        self, command: Command, document: str, first_sent: datetime, committed: Committed
    ) -> str | None:
        """Apply a command; return how its outcome differs from the expected one."""
        at = committed.clock
        outcome = json.loads(document)
        got = outcome["refusal"]["code"] if outcome["refusal"] else None
        # First: a user that did not exist then held nothing, whatever it holds now.
        if got in NOT_FOUND and self._is_newer(command, outcome["refusal"], committed.began):
            return None
        hold = self.holds.get(command.user_id)
        if hold is not None and hold.expires_at <= at:
            return f"I9: {command.command_id} found a cart whose hold was over"
        refusal = self._refusal(command, at)
        if got != refusal:
            return f"I10: {command.command_id} should be {refusal or 'granted'}, not {got}"
        if refusal == "insufficient_availability":
            return self._refused_rightly(outcome["refusal"], first_sent)
        if refusal is None:
            self._apply(command, at)
            self._note_birth(command, committed.at)
            if isinstance(command, CART_COMMANDS):
                return self._shows_cart(command, outcome["result"]["cart"])
        return None

    def _is_newer(self, command: Command, refusal: dict[str, Any], began: datetime) -> bool:
        """Whether the missing row was created only after the transaction had begun.

        What does not exist cannot be locked: both orders are right.
        """
        names = (command.user_id, refusal.get("event_id"), refusal.get("ticket_type_id"))
        return any(self._born.get(name, began) > began for name in names if name)

    def _note_birth(self, command: Command, at: datetime) -> None:
        match command:
            case RegisterUser():
                self._born[command.user_id] = at
            case CreateEvent() | CreateTicketType():
                self._born[command.command_id] = at
            case (
                ChangeEvent() | CancelEvent() | EndEvent() | ChangeTicketType()
                | ReserveTickets() | SetQuantity() | ReleaseItem() | ReleaseCart() | ExtendHold()
            ):  # fmt: skip
                pass
            case (
                CheckOut() | RecordPayment() | RecordRefund() | ReleaseTickets()
                | CancelOrder() | ExtendOrder()
            ):  # fmt: skip
                raise AssertionError("the workload has no orders")
            case _:
                assert_never(command)

    def could_lock(self, user_id: str, began: datetime) -> bool:
        """Whether a transaction found the user, and so had locked the user's rows."""
        return user_id in self.users and self._born.get(user_id, began) <= began

    def held(self, ticket_type_id: str) -> int:
        return sum(hold.lines[ticket_type_id] for hold in self.holds.values())

    # --- the rules --------------------------------------------------------------------------

    def _refusal(self, command: Command, at: datetime) -> str | None:
        if unix_ms(command.command_id) < int((at - self._window).timestamp() * 1000):
            return "stale_command"
        if command.deadline is not None and command.deadline <= at:
            return "deadline_passed"
        if isinstance(command, RegisterUser):
            known = command.user_id in self.users or command.email in self.emails
            return "email_taken" if known else None
        if command.user_id not in self.users:
            return "user_not_found"
        hold = self.holds.get(command.user_id)
        match command:
            case ReserveTickets():
                return self._refusal_to_hold(_quantities(command), at)
            case SetQuantity():
                held = hold.lines[command.ticket_type_id] if hold else 0
                if command.quantity > held:
                    more = {command.ticket_type_id: command.quantity - held}
                    return self._refusal_to_hold(more, at)
                return None if held else "item_not_in_cart"
            case ReleaseItem():
                there = hold and hold.lines[command.ticket_type_id]
                return None if there else "item_not_in_cart"
            case ExtendHold():
                if hold is None:
                    return "cart_empty"
                later = self._extended(hold, at) > hold.expires_at
                return None if later else "hold_limit_reached"
            case CancelEvent() | EndEvent() | CreateTicketType():
                if command.event_id not in self.events:
                    return "event_not_found"
                return self._refusal_to_organize(command.event_id, command.user_id, at)
            case ChangeEvent():
                return self._refusal_to_change_event(command, at)
            case ChangeTicketType():
                return self._refusal_to_change(command, at)
            case CreateEvent() | ReleaseCart():
                return None
            case (
                CheckOut() | RecordPayment() | RecordRefund() | ReleaseTickets()
                | CancelOrder() | ExtendOrder()
            ):  # fmt: skip
                raise AssertionError("the workload has no orders")
            case _:
                assert_never(command)

    def _refusal_to_hold(self, quantities: dict[str, int], at: datetime) -> str | None:
        for id, quantity in quantities.items():
            row = self.ticket_types.get(id)
            if row is None:
                return "ticket_type_not_found"
            if refusal := self._refusal_of_event(row.event_id, at):
                return refusal
            if at < row.sale_starts_at:
                return "sale_not_started"
            if at >= row.sale_ends_at:
                return "sale_ended"
            if self.held(id) + quantity > row.total:
                return "insufficient_availability"
        return None

    def _refusal_to_organize(self, event_id: str, user_id: str, at: datetime) -> str | None:
        if self.events[event_id].organizer_id != user_id:
            return "not_the_organizer"
        return self._refusal_of_event(event_id, at)

    def _refusal_of_event(self, event_id: str, at: datetime) -> str | None:
        event = self.events[event_id]
        if event.status == "ended" or at >= event.ends_at:
            return "event_ended"
        return "event_cancelled" if event.status == "cancelled" else None

    def _refusal_to_change_event(self, command: ChangeEvent, at: datetime) -> str | None:
        event = self.events.get(command.event_id)
        if event is None:
            return "event_not_found"
        if refusal := self._refusal_to_organize(event.id, command.user_id, at):
            return refusal
        changed = _changed(event, command)
        return "unprocessable" if changed.ends_at <= changed.starts_at else None

    def _refusal_to_change(self, command: ChangeTicketType, at: datetime) -> str | None:
        row = self.ticket_types.get(command.ticket_type_id)
        if row is None:
            return "ticket_type_not_found"
        if refusal := self._refusal_to_organize(row.event_id, command.user_id, at):
            return refusal
        if command.total_quantity is not None and command.total_quantity < self.held(row.id):
            return "total_below_committed"
        ends_at = command.sale_ends_at
        return "unprocessable" if ends_at and ends_at <= row.sale_starts_at else None

    def _refused_rightly(self, refusal: dict[str, Any], first_sent: datetime) -> str | None:
        """A hold that had expired when the command was sent must not cause a refusal."""
        id = refusal["ticket_type_id"]
        if refusal["available"] != self.ticket_types[id].total - self.held(id):
            return f"I10: {refusal['available']} of {id} are not what is available"
        if any(hold.lines[id] and hold.expires_at <= first_sent for hold in self.holds.values()):
            return f"I9: an expired hold of {id} refuses a buyer"
        return None

    # --- effects of a success ----------------------------------------------------------------

    def _apply(self, command: Command, at: datetime) -> None:
        match command:
            case ReserveTickets():
                for id, quantity in _quantities(command).items():
                    self._put(command, id, quantity, at)
            case SetQuantity():
                hold = self.holds.get(command.user_id)
                held = hold.lines[command.ticket_type_id] if hold else 0
                self._put(command, command.ticket_type_id, command.quantity - held, at)
            case ReleaseItem():
                held = self.holds[command.user_id].lines[command.ticket_type_id]
                self._put(command, command.ticket_type_id, -held, at)
            case ReleaseCart():
                self.holds.pop(command.user_id, None)
            case ExtendHold():
                hold = self.holds[command.user_id]
                hold.expires_at = self._extended(hold, at)
            case RegisterUser():
                self.users.add(command.user_id)
                self.emails.add(command.email)
            case CreateEvent():
                self.events[command.command_id] = EventRow(
                    command.command_id, command.user_id, command.name,
                    command.starts_at, command.ends_at, "active",
                )  # fmt: skip
            case ChangeEvent():
                event = self.events[command.event_id]
                self.events[event.id] = _changed(event, command)
            case CancelEvent() | EndEvent():
                status = "cancelled" if isinstance(command, CancelEvent) else "ended"
                event = self.events[command.event_id]
                self.events[event.id] = event._replace(status=status)
            case CreateTicketType():
                self.ticket_types[command.command_id] = TicketTypeRow(
                    command.command_id, command.event_id, command.name, command.total_quantity,
                    0, 0, command.sale_starts_at, command.sale_ends_at,
                )  # fmt: skip
            case ChangeTicketType():
                row = self.ticket_types[command.ticket_type_id]
                if command.total_quantity is not None:
                    row = row._replace(total=command.total_quantity)
                if command.sale_ends_at is not None:
                    row = row._replace(sale_ends_at=command.sale_ends_at)
                self.ticket_types[row.id] = row
            case (
                CheckOut() | RecordPayment() | RecordRefund() | ReleaseTickets()
                | CancelOrder() | ExtendOrder()
            ):  # fmt: skip
                raise AssertionError("the workload has no orders")
            case _:
                assert_never(command)

    def _put(self, command: Command, ticket_type_id: str, more: int, at: datetime) -> None:
        hold = self.holds.get(command.user_id)
        if hold is None:
            hold = Hold(command.command_id, at, at + self._hold, Counter())
            self.holds[command.user_id] = hold
        hold.lines[ticket_type_id] += more
        if not +hold.lines:
            del self.holds[command.user_id]

    def _extended(self, hold: Hold, at: datetime) -> datetime:
        return min(at + self._hold, hold.opened_at + self._max_hold)

    def _shows_cart(self, command: Command, cart: dict[str, Any]) -> str | None:
        hold = self.holds.get(command.user_id)
        lines = {item["ticket_type_id"]: item["quantity"] for item in cart["items"]}
        id, expected = (hold.cart_id, dict(+hold.lines)) if hold else (None, {})
        if (cart["id"], lines) != (id, expected):
            return f"I5: {command.command_id} shows {lines} in the cart, not {expected}"
        return None


def _changed(event: EventRow, command: ChangeEvent) -> EventRow:
    return event._replace(
        name=command.name or event.name,
        starts_at=command.starts_at or event.starts_at,
        ends_at=command.ends_at or event.ends_at,
    )


def _quantities(command: ReserveTickets) -> dict[str, int]:
    """What a reservation asks for: lines of one ticket type together, in their order."""
    quantities: Counter[str] = Counter()
    for line in command.items:
        quantities[line.ticket_type_id] += line.quantity
    return quantities
