"""Moves the tickets and the money of orders in the book."""

from collections.abc import Mapping
from datetime import datetime

from shared.orders import SurplusReason
from worker.domain.book import Book, Cart, Event
from worker.domain.order import Order, OrderItem, Payment, Refund

# --- the life of an order ---------------------------------------------------------------------


def open_order(
    book: Book, order_id: str, event: Event, cart: Cart, quantities: Mapping[str, int], total: int
) -> Order:
    """Order tickets of a cart, which leave it; an order that costs nothing is paid at once."""
    pay_by = book.now + book.rules.payment
    held_until = pay_by + book.rules.payment_grace
    order = Order(
        id=order_id,
        event_id=event.id,
        user_id=cart.user_id,
        status="pending_payment",
        currency=event.currency,
        total=total,
        created_at=book.now,
        pay_by=pay_by,
        held_until=held_until,
    )
    for ticket_type_id, quantity in quantities.items():
        ticket_type = book.ticket_types[ticket_type_id]
        item = OrderItem(
            order_id=order.id,
            ticket_type_id=ticket_type_id,
            user_id=cart.user_id,
            name=ticket_type.name,
            quantity=quantity,
            unit_price=ticket_type.unit_price,
            held=quantity,
            held_until=held_until,
        )
        order.items[ticket_type_id] = item
        book.changes.order_items[order.id, ticket_type_id] = item
        book.ordered[cart.user_id, ticket_type_id] += quantity
    book.take_out(cart, quantities)
    book.orders[order.id] = order
    book.changes.orders[order.id] = order
    book.open_orders[order.user_id, order.event_id] += 1
    if total == 0:
        buy(book, order)
    return order


def buy(book: Book, order: Order) -> None:
    """Sell the tickets that a pending order holds, or those that an expired one had."""
    if order.status == "pending_payment":
        _leave_pending(book, order)
    for item in order.items.values():
        if item.held:
            book.move(item.ticket_type_id, reserved=-item.held, sold=item.held)
        else:
            _hold(book, item, item.quantity)
            book.move(item.ticket_type_id, sold=item.held)
        _note(book, item)
    order.status = "paid"
    order.tickets_value = order.total
    _change(book, order)


def settle_all(book: Book) -> None:
    """Settle every order of the book."""
    for order in book.orders.values():
        settle(book, order)


def settle(book: Book, order: Order) -> None:
    """Expire an order whose hold is over; cancel one whose event is cancelled."""
    if book.events[order.event_id].status == "cancelled":
        if order.status in ("pending_payment", "paid"):
            cancel(book, order)
    elif order.held_until is not None and order.held_until <= book.now:
        _leave_pending(book, order)
        for item in order.items.values():
            book.move(item.ticket_type_id, reserved=-item.held)
            _hold(book, item, 0)
        order.status = "expired"
        _change(book, order)


def cancel(book: Book, order: Order) -> None:
    """Put all tickets of a pending or paid order on sale again."""
    was_pending = order.status == "pending_payment"
    if was_pending:
        _leave_pending(book, order)
    for item in order.items.values():
        if was_pending:
            book.move(item.ticket_type_id, reserved=-item.held)
        else:
            book.move(item.ticket_type_id, sold=-item.held)
        _hold(book, item, 0)
        item.released = item.quantity
    order.status = "cancelled"
    order.tickets_value = 0
    _change(book, order)


def release(book: Book, order: Order, quantities: Mapping[str, int]) -> None:
    """Put tickets of a paid order on sale again; an order without tickets is cancelled."""
    for ticket_type_id, quantity in quantities.items():
        item = order.items[ticket_type_id]
        book.move(ticket_type_id, sold=-quantity)
        _hold(book, item, item.held - quantity)
        item.released += quantity
        order.tickets_value -= quantity * item.unit_price
    if not any(item.held for item in order.items.values()):
        order.status = "cancelled"
    _change(book, order)


def extend(book: Book, order: Order, pay_by: datetime) -> None:
    """Hold the tickets of a pending order until `pay_by` and the grace after it."""
    order.pay_by = pay_by
    order.held_until = pay_by + book.rules.payment_grace
    for item in order.items.values():
        item.held_until = order.held_until
        _note(book, item)
    _change(book, order)


# --- money ------------------------------------------------------------------------------------


def add_payment(
    book: Book, order: Order, payment_id: str, amount: int, reason: SurplusReason | None
) -> Payment:
    """Record a payment; without a `reason` it is no surplus."""
    payment = Payment(
        event_id=order.event_id,
        payment_id=payment_id,
        order_id=order.id,
        number=len(order.payments) + 1,
        amount=amount,
        disposition="surplus" if reason else "accepted",
        reason=reason,
        recorded_at=book.now,
    )
    order.payments[payment_id] = payment
    order.paid += amount
    if reason is None:
        order.accepted += amount
    book.payments[order.event_id, payment_id] = payment
    book.changes.new_payments.append(payment)
    _change(book, order)
    return payment


def add_refund(book: Book, order: Order, refund_id: str, amount: int) -> None:
    """Record a refund."""
    refund = Refund(
        event_id=order.event_id,
        refund_id=refund_id,
        order_id=order.id,
        number=len(order.refunds) + 1,
        amount=amount,
        recorded_at=book.now,
    )
    order.refunds[refund_id] = refund
    order.refunded += amount
    book.refunds[order.event_id, refund_id] = refund
    book.changes.new_refunds.append(refund)
    _change(book, order)


def keep(book: Book, order: Order, amount: int) -> None:
    """Note what the organizer keeps of what was paid."""
    order.kept += amount
    _change(book, order)


def _leave_pending(book: Book, order: Order) -> None:
    book.open_orders[order.user_id, order.event_id] -= 1
    order.held_until = None
    for item in order.items.values():
        item.held_until = None


def _hold(book: Book, item: OrderItem, held: int) -> None:
    book.ordered[item.user_id, item.ticket_type_id] += held - item.held
    item.held = held
    _note(book, item)


def _note(book: Book, item: OrderItem) -> None:
    """Note that an item differs from what is stored."""
    book.changes.order_items[item.order_id, item.ticket_type_id] = item


def _change(book: Book, order: Order) -> None:
    """Note that an order differs from what is stored."""
    book.changes.orders[order.id] = order
