"""The rules of orders and their money, as the contract tells them."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any, assert_never

from reliability.simulation.checks.state import Purchase, State
from reliability.simulation.fakes.tables import OrderRow
from shared.commands import (
    CancelOrder,
    CheckOut,
    ExtendOrder,
    OrderCommand,
    RecordPayment,
    RecordRefund,
    ReleaseTickets,
)

MAX_OPEN_ORDERS = 5
LONGEST_TERM = timedelta(days=90)


class Purchases:
    """Decides order commands on the state of the model."""

    def __init__(self, state: State, payment: timedelta, grace: timedelta) -> None:
        self._state = state
        self._payment = payment
        self._grace = grace

    def settle(self, order: Purchase, at: datetime) -> None:
        """What becomes of an order by itself."""
        if self._state.events[order.event_id].status == "cancelled":
            if order.status in ("pending_payment", "paid"):
                order.status = "cancelled"
        elif order.status == "pending_payment" and order.held_until <= at:
            order.status = "expired"

    def differs(self, row: OrderRow) -> str | None:
        """How a stored order differs from the model."""
        order = self._state.purchases.get(row.id)
        if order is None:
            return f"O1: order {row.id} comes from no command"
        held_until = order.held_until if order.status == "pending_payment" else None
        expected = (
            order.status, order.total, order.paid, order.accepted, order.refunded, order.kept,
            order.value, order.pay_by, held_until, order.buyer, order.event_id, order.currency,
        )  # fmt: skip
        stored = (
            row.status, row.total, row.paid, row.accepted, row.refunded, row.kept,
            row.tickets_value, row.pay_by, row.held_until, row.user_id, row.event_id, row.currency,
        )  # fmt: skip
        return None if stored == expected else f"O2: {row} should be {expected}"

    # --- refusals ---------------------------------------------------------------------------

    def refusal_to_check_out(self, command: CheckOut, at: datetime) -> str | None:
        state = self._state
        if command.event_id not in state.events:
            return "event_not_found"
        lines = self._lines(command)
        if not lines:
            return "nothing_to_check_out"
        if state.is_over(command.event_id, at):
            return "event_ended"
        if state.events[command.event_id].status == "cancelled":
            return "event_cancelled"
        mine = (command.user_id, command.event_id, "pending_payment")
        every = state.purchases.values()
        if sum((one.buyer, one.event_id, one.status) == mine for one in every) >= MAX_OPEN_ORDERS:
            return "too_many_open_orders"
        if any(n < state.ticket_types[id].min_per_order for id, (n, _) in lines.items()):
            return "minimum_not_reached"
        total = sum(quantity * price for quantity, price in lines.values())
        return "price_changed" if command.expected_total not in (None, total) else None

    def refusal(self, command: OrderCommand, at: datetime) -> str | None:
        order = self._state.purchases.get(command.order_id)
        if order is None:
            return "order_not_found"
        organizer = self._state.events[order.event_id].organizer_id
        agent = self._state.agent(order.event_id)
        if command.user_id not in (order.buyer, organizer, agent):
            return "order_not_found"
        self.settle(order, at)
        match command:
            case RecordPayment():
                if command.user_id != agent:
                    return "not_the_payment_agent"
                return self._refusal_of_payment(order, command)
            case RecordRefund():
                if command.user_id != agent:
                    return "not_the_payment_agent"
                return self._refusal_of_refund(order, command)
            case ReleaseTickets():
                if command.user_id != organizer:
                    return "not_the_organizer"
                return self._refusal_to_release(order, command)
            case CancelOrder():
                return self._refusal_to_cancel(order, command, organizer)
            case ExtendOrder():
                if command.user_id != organizer:
                    return "not_the_organizer"
                if order.status != "pending_payment":
                    return "order_not_pending"
                in_time = order.pay_by < command.pay_by <= at + LONGEST_TERM
                return None if in_time else "unprocessable"
            case _:
                assert_never(command)

    def _refusal_of_payment(self, order: Purchase, command: RecordPayment) -> str | None:
        known = self._state.payments.get((order.event_id, command.payment_id))
        if known is not None:
            same = known is order and order.payments[command.payment_id][0] == command.amount
            return None if same and command.currency == order.currency else "payment_id_reused"
        return None if command.currency == order.currency else "currency_mismatch"

    def _refusal_of_refund(self, order: Purchase, command: RecordRefund) -> str | None:
        known = self._state.refunds.get((order.event_id, command.refund_id))
        if known is not None:
            same = known is order and order.refunds[command.refund_id] == command.amount
            return None if same else "payment_id_reused"
        return "more_than_due" if command.amount > order.refund_due else None

    def _refusal_to_release(self, order: Purchase, command: ReleaseTickets) -> str | None:
        if order.status != "paid":
            return "order_not_paid"
        back = _quantities(command)
        if any(quantity > order.has(id) for id, quantity in back.items()):
            return "more_than_held"
        due = order.refund_due + sum(n * order.lines[id][1] for id, n in back.items())
        return "more_than_due" if (command.keep_amount or 0) > due else None

    def _refusal_to_cancel(
        self, order: Purchase, command: CancelOrder, organizer: str
    ) -> str | None:
        if command.user_id == organizer:
            may = order.status in ("pending_payment", "paid")
        elif command.user_id == order.buyer and command.keep_amount is None:
            may = order.status == "pending_payment"
        else:
            return "not_the_organizer"
        if not may:
            return "order_not_pending"
        left = order.paid - order.refunded - order.kept
        return "more_than_due" if (command.keep_amount or 0) > left else None

    def why_surplus(
        self, order: Purchase, amount: int, at: datetime, over_at: datetime | None = None
    ) -> str | None:
        """Why a payment buys nothing, if no hold counts that is over at a time."""
        state = self._state
        if state.events[order.event_id].status == "cancelled":
            return "event_cancelled"
        if order.status in ("cancelled", "paid"):
            return "order_cancelled" if order.status == "cancelled" else "already_paid"
        if order.status == "pending_payment":
            return None
        if state.is_over(order.event_id, at) or not order.is_reached_with(amount):
            return "order_expired"
        for id, (quantity, _) in order.lines.items():
            limit = state.ticket_types[id].max_per_user
            owned = state.owned(order.buyer, id, over_at)
            if limit is not None and owned + quantity > limit:
                return "order_expired"
            if quantity > state.available(id, over_at):
                return "order_expired"
        return None

    # --- effects ----------------------------------------------------------------------------

    def check_out(self, command: CheckOut, at: datetime) -> None:
        state = self._state
        pay_by = at + self._payment
        lines = self._lines(command)
        order = Purchase(
            command.command_id, command.event_id, command.user_id,
            state.events[command.event_id].currency, pay_by, pay_by + self._grace, lines,
        )  # fmt: skip
        if order.total == 0:
            order.status = "paid"
        state.purchases[order.id] = order
        hold = state.holds[command.user_id]
        for id in lines:
            del hold.lines[id]
        if not +hold.lines:
            del state.holds[command.user_id]

    def apply(self, command: OrderCommand, at: datetime) -> None:
        order = self._state.purchases[command.order_id]
        match command:
            case RecordPayment():
                self._pay(order, command, at)
            case RecordRefund():
                order.refunds[command.refund_id] = command.amount
                self._state.refunds[order.event_id, command.refund_id] = order
            case ReleaseTickets():
                order.returned += _quantities(command)
                if not any(order.has(id) for id in order.lines):
                    order.status = "cancelled"
                order.kept += command.keep_amount or 0
            case CancelOrder():
                order.status = "cancelled"
                order.kept += command.keep_amount or 0
            case ExtendOrder():
                order.pay_by = command.pay_by
                order.held_until = command.pay_by + self._grace
            case _:
                assert_never(command)

    def _pay(self, order: Purchase, command: RecordPayment, at: datetime) -> None:
        if command.payment_id in order.payments:
            return
        surplus = self.why_surplus(order, command.amount, at)
        if surplus is None and order.is_reached_with(command.amount):
            order.status = "paid"
        order.payments[command.payment_id] = (command.amount, surplus)
        self._state.payments[order.event_id, command.payment_id] = order

    def shows(self, order_id: str, result: dict[str, Any]) -> str | None:
        """How the order that an outcome shows differs from the model."""
        order, shown = self._state.purchases[order_id], result["order"]
        names = ("id", "status", "total", "paid", "refunded", "kept", "refund_due")
        told: dict[str, Any] = {name: shown[name] for name in names}
        right: dict[str, Any] = {name: getattr(order, name) for name in names}
        told["items"] = {
            item["ticket_type_id"]: (item["quantity"], item["unit_price"])
            for item in shown["items"]
        }
        right["items"] = order.lines
        if payment := result.get("payment"):
            id = payment["payment_id"]
            told["payment"], right["payment"] = payment["reason"], order.payments[id][1]
        return None if told == right else f"O3: an outcome shows {told}, not {right}"

    def _lines(self, command: CheckOut) -> dict[str, tuple[int, int]]:
        """What the cart holds of the event, and the prices of now."""
        hold = self._state.holds.get(command.user_id)
        types = self._state.ticket_types
        return {
            id: (quantity, types[id].unit_price)
            for id, quantity in (hold.lines.items() if hold else ())
            if quantity and types[id].event_id == command.event_id
        }


def _quantities(command: ReleaseTickets) -> Counter[str]:
    quantities: Counter[str] = Counter()
    for line in command.items:
        quantities[line.ticket_type_id] += line.quantity
    return quantities
