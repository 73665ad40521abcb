"""A model of the contract's rules, which gives the expected outcome of each command.

It shares no code with the worker's domain. It follows the commits in their order and reports each
outcome that does not follow from those before it.
"""

import json
from collections import Counter
from datetime import datetime
from typing import Any, assert_never

from reliability.simulation.checks.catalogue import Catalogue
from reliability.simulation.checks.purchases import Purchases
from reliability.simulation.checks.state import Hold, State
from reliability.simulation.fakes.tables import Committed
from shared.commands import (
    CancelEvent,
    CancelOrder,
    CartCommand,
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
from shared.ids import unix_ms
from worker.domain.book import Rules

NOT_FOUND = {"user_not_found", "event_not_found", "ticket_type_not_found", "order_not_found"}
MONEY_REFUSALS = {"currency_mismatch", "more_than_due"}


class Model:
    """The expected state after the outcomes so far."""

    def __init__(self, state: State, rules: Rules) -> None:
        self.state = state
        self.purchases = Purchases(state, rules.payment, rules.payment_grace)
        self._catalogue = Catalogue(state)
        self._born: dict[Any, datetime] = {}
        """When users, events, ticket types, orders, payments and refunds were committed."""
        self._rules = rules

    def expire(self, cart_id: str, clock: datetime) -> str | None:
        """Close a cart; return violations."""
        for user, hold in self.state.holds.items():
            if hold.cart_id == cart_id:
                del self.state.holds[user]
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
        guard = self.guard(command, committed.began)
        hold = self.state.holds.get(guard) if guard else None
        if hold is not None and hold.expires_at <= at:
            return f"I9: {command.command_id} found a cart whose hold was over"
        refusal = self._refusal(command, at)
        is_new_money = got in MONEY_REFUSALS and self._is_new_money(command, committed.began)
        if is_new_money and refusal == "payment_id_reused":
            return None
        if got != refusal:
            return f"I10: {command.command_id} should be {refusal or 'granted'}, not {got}"
        if refusal in ("insufficient_availability", "limit_exceeded"):
            return self._refused_rightly(command, outcome["refusal"], first_sent)
        if refusal is None:
            if finding := self._is_surplus_wrongly(command, at, first_sent):
                return finding
            self._apply(command, at)
            self._note_birth(command, committed.at)
            if isinstance(command, CartCommand):
                return self._shows_cart(command, outcome["result"]["cart"])
            if isinstance(command, CheckOut):
                return self.purchases.shows(command.command_id, outcome["result"])
            if isinstance(command, OrderCommand):
                return self.purchases.shows(command.order_id, outcome["result"])
        return None

    def settle(self, committed: Committed) -> None:
        """Let the orders of a transaction expire, or be cancelled, before its commands."""
        for row in committed.orders:
            if order := self.state.purchases.get(row.id):
                self.purchases.settle(order, committed.clock)

    def _is_newer(self, command: Command, refusal: dict[str, Any], began: datetime) -> bool:
        """Whether the missing row was created only after the transaction had begun.

        What does not exist cannot be locked: both orders are right.
        """
        ids = ("event_id", "ticket_type_id", "order_id")
        names = (command.user_id, *(refusal.get(id) for id in ids))
        return any(self._born.get(name, began) > began for name in names if name)

    def _is_new_money(self, command: Command, began: datetime) -> bool:
        """Whether the ID was recorded for another order only after the transaction had begun."""
        if not isinstance(command, RecordPayment | RecordRefund):
            return False
        return self._born.get(self._money(command), began) > began

    def _money(self, command: RecordPayment | RecordRefund) -> tuple[str, str, str]:
        event_id = self.state.purchases[command.order_id].event_id
        if isinstance(command, RecordPayment):
            return ("payment", event_id, command.payment_id)
        return ("refund", event_id, command.refund_id)

    def _note_birth(self, command: Command, at: datetime) -> None:
        match command:
            case RegisterUser():
                self._born[command.user_id] = at
            case CreateEvent() | CreateTicketType() | CheckOut():
                self._born[command.command_id] = at
            case RecordPayment() | RecordRefund():
                self._born.setdefault(self._money(command), at)
            case (
                ChangeEvent() | CancelEvent() | EndEvent() | ChangeTicketType()
                | ReserveTickets() | SetQuantity() | ReleaseItem() | ReleaseCart() | ExtendHold()
                | ReleaseTickets() | CancelOrder() | ExtendOrder()
            ):  # fmt: skip
                pass
            case _:
                assert_never(command)

    def guard(self, command: Command, began: datetime) -> str | None:
        """The user whose lock a transaction had for a command, if there was one to lock."""
        user = command.user_id
        if isinstance(command, OrderCommand):
            order = self.state.purchases.get(command.order_id)
            if order is None or self._born.get(order.id, began) > began:
                return None
            user = order.buyer
        there = user in self.state.users and self._born.get(user, began) <= began
        return user if there else None

    # --- the rules --------------------------------------------------------------------------

    def _refusal(self, command: Command, at: datetime) -> str | None:
        if unix_ms(command.command_id) < int((at - self._rules.command_window).timestamp() * 1000):
            return "stale_command"
        if command.deadline is not None and command.deadline <= at:
            return "deadline_passed"
        if isinstance(command, RegisterUser):
            known = command.user_id in self.state.users or command.email in self.state.emails
            return "email_taken" if known else None
        if command.user_id not in self.state.users:
            return "user_not_found"
        hold = self.state.holds.get(command.user_id)
        match command:
            case ReserveTickets():
                return self._refusal_to_hold(command.user_id, _quantities(command), at)
            case SetQuantity():
                held = hold.lines[command.ticket_type_id] if hold else 0
                if command.quantity > held:
                    more = {command.ticket_type_id: command.quantity - held}
                    return self._refusal_to_hold(command.user_id, more, at)
                return None if held else "item_not_in_cart"
            case ReleaseItem():
                there = hold and hold.lines[command.ticket_type_id]
                return None if there else "item_not_in_cart"
            case ExtendHold():
                if hold is None:
                    return "cart_empty"
                later = self._extended(hold, at) > hold.expires_at
                return None if later else "hold_limit_reached"
            case (
                CreateEvent() | ChangeEvent() | CancelEvent() | EndEvent()
                | CreateTicketType() | ChangeTicketType()
            ):  # fmt: skip
                return self._catalogue.refusal(command, at)
            case ReleaseCart():
                return None
            case CheckOut():
                return self.purchases.refusal_to_check_out(command, at)
            case (
                RecordPayment() | RecordRefund() | ReleaseTickets() | CancelOrder() | ExtendOrder()
            ):  # fmt: skip
                return self.purchases.refusal(command, at)
            case _:
                assert_never(command)

    def _refusal_to_hold(self, user: str, quantities: dict[str, int], at: datetime) -> str | None:
        hold = self.state.holds.get(user)
        for id, quantity in quantities.items():
            row = self.state.ticket_types.get(id)
            if row is None:
                return "ticket_type_not_found"
            if refusal := self._catalogue.refusal_of_event(row.event_id, at):
                return refusal
            if at < row.sale_starts_at:
                return "sale_not_started"
            if at >= row.sale_ends_at:
                return "sale_ended"
            in_cart = hold.lines[id] if hold else 0
            if row.max_per_order is not None and in_cart + quantity > row.max_per_order:
                return "limit_exceeded"
            owned = self.state.owned(user, id)
            if row.max_per_user is not None and owned + quantity > row.max_per_user:
                return "limit_exceeded"
            if quantity > self.state.available(id):
                return "insufficient_availability"
        return None

    def _refused_rightly(
        self, command: Command, refusal: dict[str, Any], first_sent: datetime
    ) -> str | None:
        """A hold that had expired when the command was sent must not cause a refusal."""
        state, id = self.state, refusal["ticket_type_id"]
        if refusal["code"] == "limit_exceeded":
            over = state.owned(command.user_id, id) - state.owned(command.user_id, id, first_sent)
            if refusal["limit"] == "user" and refusal["requested"] - over <= refusal["allowed"]:
                return f"I9: an expired order of {id} counts for the limit of its buyer"
            return None
        if refusal["available"] != state.available(id):
            return f"I10: {refusal['available']} of {id} are not what is available"
        if state.available(id) != state.available(id, first_sent):
            return f"I9: an expired hold of {id} refuses a buyer"
        return None

    def _is_surplus_wrongly(
        self, command: Command, at: datetime, first_sent: datetime
    ) -> str | None:
        """A hold that had expired when a payment was sent must not take its tickets away."""
        if not isinstance(command, RecordPayment):
            return None
        order = self.state.purchases[command.order_id]
        if command.payment_id in order.payments:
            return None
        reason = self.purchases.why_surplus(order, command.amount, at)
        if reason and not self.purchases.why_surplus(order, command.amount, at, first_sent):
            return f"I9: an expired hold makes payment {command.payment_id} a surplus"
        return None

    # --- effects of a success ----------------------------------------------------------------

    def _apply(self, command: Command, at: datetime) -> None:
        match command:
            case ReserveTickets():
                for id, quantity in _quantities(command).items():
                    self._put(command, id, quantity, at)
            case SetQuantity():
                hold = self.state.holds.get(command.user_id)
                held = hold.lines[command.ticket_type_id] if hold else 0
                self._put(command, command.ticket_type_id, command.quantity - held, at)
            case ReleaseItem():
                held = self.state.holds[command.user_id].lines[command.ticket_type_id]
                self._put(command, command.ticket_type_id, -held, at)
            case ReleaseCart():
                self.state.holds.pop(command.user_id, None)
            case ExtendHold():
                hold = self.state.holds[command.user_id]
                hold.expires_at = self._extended(hold, at)
            case RegisterUser():
                self.state.users.add(command.user_id)
                self.state.emails.add(command.email)
            case (
                CreateEvent() | ChangeEvent() | CancelEvent() | EndEvent()
                | CreateTicketType() | ChangeTicketType()
            ):  # fmt: skip
                self._catalogue.apply(command)
            case CheckOut():
                self.purchases.check_out(command, at)
            case (
                RecordPayment() | RecordRefund() | ReleaseTickets() | CancelOrder() | ExtendOrder()
            ):  # fmt: skip
                self.purchases.apply(command, at)
            case _:
                assert_never(command)

    def _put(self, command: Command, ticket_type_id: str, more: int, at: datetime) -> None:
        hold = self.state.holds.get(command.user_id)
        if hold is None:
            hold = Hold(command.command_id, at, at + self._rules.hold, Counter())
            self.state.holds[command.user_id] = hold
        hold.lines[ticket_type_id] += more
        if not +hold.lines:
            del self.state.holds[command.user_id]

    def _extended(self, hold: Hold, at: datetime) -> datetime:
        return min(at + self._rules.hold, hold.opened_at + self._rules.max_hold)

    def _shows_cart(self, command: Command, cart: dict[str, Any]) -> str | None:
        hold = self.state.holds.get(command.user_id)
        lines = {item["ticket_type_id"]: item["quantity"] for item in cart["items"]}
        id, expected = (hold.cart_id, dict(+hold.lines)) if hold else (None, {})
        if (cart["id"], lines) != (id, expected):
            return f"I5: {command.command_id} shows {lines} in the cart, not {expected}"
        return None


def _quantities(command: ReserveTickets) -> dict[str, int]:
    """What a reservation asks for: lines of one ticket type together, in their order."""
    quantities: Counter[str] = Counter()
    for line in command.items:
        quantities[line.ticket_type_id] += line.quantity
    return quantities
