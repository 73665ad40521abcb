"""The rules of recording payments and refunds: refusals in order of precedence.

A payment is a fact: no rule of the business refuses it. What it cannot buy is a surplus.
"""

from shared.commands import RecordPayment, RecordRefund
from shared.orders import MAX_PAYMENTS, MAX_REFUNDS, PaymentDecision, SurplusReason
from shared.outcomes import OrderResult, PaymentResult
from shared.refusals import (
    CurrencyMismatch,
    MoreThanDue,
    NotThePaymentAgent,
    OrderFull,
    OrderNotFound,
    PaymentIdReused,
    Refusal,
)
from worker.domain import ledger
from worker.domain.book import Book
from worker.domain.order import Order, Payment
from worker.domain.ordering import find_order


def record_payment(book: Book, command: RecordPayment) -> PaymentResult | Refusal:
    order = find_order(book, command)
    if order is None:
        return OrderNotFound(command.order_id)
    if command.user_id != book.events[order.event_id].agent_id:
        return NotThePaymentAgent()
    if known := book.payments.get((order.event_id, command.payment_id)):
        told = (known.order_id, known.amount, order.currency)
        if told != (order.id, command.amount, command.currency):
            return PaymentIdReused()
        return _result(order, known)
    if command.currency != order.currency:
        return CurrencyMismatch()
    if len(order.payments) >= MAX_PAYMENTS:
        return OrderFull(MAX_PAYMENTS)
    reason = _why_surplus(book, order, command.amount)
    completes = reason is None and order.would_be_paid_with(command.amount)
    payment = ledger.add_payment(book, order, command.payment_id, command.amount, reason)
    if completes:
        ledger.buy(book, order)
    return _result(order, payment)


def record_refund(book: Book, command: RecordRefund) -> OrderResult | Refusal:
    order = find_order(book, command)
    if order is None:
        return OrderNotFound(command.order_id)
    if command.user_id != book.events[order.event_id].agent_id:
        return NotThePaymentAgent()
    if known := book.refunds.get((order.event_id, command.refund_id)):
        if (known.order_id, known.amount) != (order.id, command.amount):
            return PaymentIdReused()
        return OrderResult(order.to_document())
    if len(order.refunds) >= MAX_REFUNDS:
        return OrderFull(MAX_REFUNDS)
    if command.amount > order.refund_due:
        return MoreThanDue(order.refund_due)
    ledger.add_refund(book, order, command.refund_id, command.amount)
    return OrderResult(order.to_document())


def _why_surplus(book: Book, order: Order, amount: int) -> SurplusReason | None:
    """Return why a payment buys nothing, or None where it is accepted."""
    if book.events[order.event_id].status == "cancelled":
        return "event_cancelled"
    if order.status == "cancelled":
        return "order_cancelled"
    if order.status == "paid":
        return "already_paid"
    if order.status == "expired":
        can_still_buy = order.would_be_paid_with(amount) and _are_still_to_be_had(book, order)
        return None if can_still_buy else "order_expired"
    return None


def _are_still_to_be_had(book: Book, order: Order) -> bool:
    """Return whether an expired order can have all its tickets again."""
    if book.events[order.event_id].has_ended(book.now):
        return False
    cart = book.carts.get(order.user_id)
    for id, item in order.items.items():
        ticket_type = book.ticket_types[id]
        if item.quantity > ticket_type.available:
            return False
        in_cart = cart.lines.get(id, 0) if cart else 0
        would_have = in_cart + book.ordered[order.user_id, id] + item.quantity
        if ticket_type.max_per_user is not None and would_have > ticket_type.max_per_user:
            return False
    return True


def _result(order: Order, payment: Payment) -> PaymentResult:
    decision = PaymentDecision(payment.payment_id, payment.disposition, payment.reason)
    return PaymentResult(order.to_document(), decision)
