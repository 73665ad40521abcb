"""The rules of checking out and of what becomes of an order: refusals in order of precedence."""

from datetime import timedelta

from shared.commands import CancelOrder, CheckOut, ExtendOrder, OrderCommand, ReleaseTickets
from shared.orders import MAX_OPEN_ORDERS
from shared.outcomes import OrderResult
from shared.refusals import (
    EventCancelled,
    EventEnded,
    EventNotFound,
    MinimumNotReached,
    MoreThanDue,
    MoreThanHeld,
    NothingToCheckOut,
    NotTheOrganizer,
    OrderNotFound,
    OrderNotPaid,
    OrderNotPending,
    PriceChanged,
    Refusal,
    TooManyOpenOrders,
    Unprocessable,
)
from worker.domain import ledger
from worker.domain.book import Book
from worker.domain.order import Order

MAX_PAYMENT_TERM = timedelta(days=90)
"""How far ahead of the clock an organizer may move `pay_by`: an order holds its tickets."""


def check_out(book: Book, command: CheckOut) -> OrderResult | Refusal:
    event = book.events.get(command.event_id)
    if event is None:
        return EventNotFound(command.event_id)
    cart = book.carts.get(command.user_id)
    quantities = {
        id: quantity
        for id, quantity in (sorted(cart.lines.items()) if cart else ())
        if book.ticket_types[id].event_id == event.id
    }
    if cart is None or not quantities:
        return NothingToCheckOut(event.id)
    if event.has_ended(book.now):
        return EventEnded(event.id)
    if event.status == "cancelled":
        return EventCancelled(event.id)
    if book.open_orders[command.user_id, event.id] >= MAX_OPEN_ORDERS:
        return TooManyOpenOrders(MAX_OPEN_ORDERS)
    for id, quantity in quantities.items():
        min_per_order = book.ticket_types[id].min_per_order
        if quantity < min_per_order:
            return MinimumNotReached(id, min_per_order, quantity)
    total = sum(book.ticket_types[id].unit_price * n for id, n in quantities.items())
    if command.expected_total is not None and command.expected_total != total:
        return PriceChanged(total, event.currency)
    order = ledger.open_order(book, command.command_id, event, cart, quantities, total)
    return OrderResult(order.to_document())


def cancel_order(book: Book, command: CancelOrder) -> OrderResult | Refusal:
    order = find_order(book, command)
    if order is None:
        return OrderNotFound(command.order_id)
    is_organizer = command.user_id == book.events[order.event_id].organizer_id
    is_buyer = command.user_id == order.user_id
    if not is_organizer and (not is_buyer or command.keep_amount is not None):
        return NotTheOrganizer()
    cancellable = ("pending_payment", "paid") if is_organizer else ("pending_payment",)
    if order.status not in cancellable:
        return OrderNotPending(order.id, order.status)
    keep_amount = command.keep_amount or 0
    due = order.refund_due + order.tickets_value
    if keep_amount > due:
        return MoreThanDue(due)
    ledger.cancel(book, order)
    ledger.keep(book, order, keep_amount)
    return OrderResult(order.to_document())


def release_tickets(book: Book, command: ReleaseTickets) -> OrderResult | Refusal:
    order = find_order(book, command)
    if order is None:
        return OrderNotFound(command.order_id)
    if command.user_id != book.events[order.event_id].organizer_id:
        return NotTheOrganizer()
    if order.status != "paid":
        return OrderNotPaid(order.id, order.status)
    quantities: dict[str, int] = {}
    for line in command.items:
        quantities[line.ticket_type_id] = quantities.get(line.ticket_type_id, 0) + line.quantity
    due = order.refund_due
    for id, quantity in quantities.items():
        item = order.items.get(id)
        if item is None or quantity > item.held:
            return MoreThanHeld(id)
        due += quantity * item.unit_price
    keep_amount = command.keep_amount or 0
    if keep_amount > due:
        return MoreThanDue(due)
    ledger.release(book, order, quantities)
    ledger.keep(book, order, keep_amount)
    return OrderResult(order.to_document())


def extend_order(book: Book, command: ExtendOrder) -> OrderResult | Refusal:
    order = find_order(book, command)
    if order is None:
        return OrderNotFound(command.order_id)
    if command.user_id != book.events[order.event_id].organizer_id:
        return NotTheOrganizer()
    if order.status != "pending_payment":
        return OrderNotPending(order.id, order.status)
    if command.pay_by <= order.pay_by:
        return Unprocessable("The order may already be paid until then.")
    if command.pay_by > book.now + MAX_PAYMENT_TERM:
        return Unprocessable(f"pay_by is more than {MAX_PAYMENT_TERM.days} days ahead.")
    ledger.extend(book, order, command.pay_by)
    return OrderResult(order.to_document())


def find_order(book: Book, command: OrderCommand) -> Order | None:
    """Return the order that a command names, settled; None also for who may not see it."""
    order = book.orders.get(command.order_id)
    if order is None:
        return None
    event = book.events[order.event_id]
    if command.user_id not in (order.user_id, event.organizer_id, event.agent_id):
        return None
    ledger.settle(book, order)
    return order
