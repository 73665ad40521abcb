"""Reads the orders of a batch, and says which statements save them.

Orders are read under the locks of their buyers, and before the ticket types are locked, for which
other batches wait.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worker.domain.book import Changes, TicketType
from worker.domain.locks import LockRequest
from worker.domain.order import Order, OrderItem, Payment, Refund
from worker.storage.driver import Driver
from worker.storage.order_statements import (
    INSERT_PAYMENTS,
    INSERT_REFUNDS,
    LOOK_UP_BUYERS,
    ORDER_ITEMS,
    ORDERS,
    PAYMENTS,
    PUT_ORDER_ITEMS,
    PUT_ORDERS,
    READ_ORDER_ITEMS,
    READ_ORDERED,
    READ_ORDERS,
    READ_PAYMENTS,
    READ_REFUNDS,
    REFUNDS,
)


@dataclass(slots=True)
class LockedOrders:
    """The orders of a batch, whose buyers are locked, and the payments that it names."""

    orders: dict[str, Order] = field(default_factory=dict)
    payments: dict[tuple[str, str], Payment] = field(default_factory=dict)
    refunds: dict[tuple[str, str], Refund] = field(default_factory=dict)

    @property
    def ticket_type_ids(self) -> set[str]:
        return {id for order in self.orders.values() for id in order.items}


async def look_up_buyers(driver: Driver, request: LockRequest) -> set[str]:
    """Add the buyers of the named orders to the request; return the senders that exist.

    An order never changes hands. One that is created later than this is not found.
    """
    if not request.order_ids:
        return set()
    rows = await driver.fetch(LOOK_UP_BUYERS, list(request.order_ids), list(request.sender_ids))
    senders: set[str] = set()
    for order_id, user_id, wanted_ids in rows:
        if order_id is None:
            senders.add(user_id)
        else:
            request.user_ids.add(user_id)
            request.ticket_type_ids.update(wanted_ids)
    return senders


async def read_orders(
    driver: Driver,
    request: LockRequest,
    user_ids: Iterable[str],
    max_due: int,
) -> LockedOrders:
    """Read the orders of the locked users that concern the batch.

    Those that it names, up to `max_due` for each wanted ticket type that are due and hold it, and
    the pending ones that count for a check-out.
    """
    if not (request.order_ids or request.check_outs or max_due):
        return LockedOrders()
    check_outs = request.check_outs.values()
    rows = await driver.fetch(
        READ_ORDERS,
        list(user_ids),
        list(request.order_ids),
        list(request.ticket_type_ids) if max_due else [],
        [user_id for user_id, _ in check_outs],
        [event_id for _, event_id in check_outs],
        max_due,
    )
    locked = LockedOrders({row[0]: Order(*row) for row in rows})
    ids = list(locked.orders)
    if ids:
        for row in await driver.fetch(READ_ORDER_ITEMS, ids):
            item = OrderItem(*row)
            locked.orders[item.order_id].items[item.ticket_type_id] = item
    await _read_money(driver, request, locked, ids)
    return locked


async def _read_money(
    driver: Driver, request: LockRequest, locked: LockedOrders, order_ids: list[str]
) -> None:
    """Read the payments and refunds of the orders, and those whose IDs are named."""
    events = {id: order.event_id for id, order in locked.orders.items()}
    events |= {id: event_id for id, (_, event_id) in request.check_outs.items()}
    named = _of_events(events, request.payment_ids)
    if order_ids or named[0]:
        for row in await driver.fetch(READ_PAYMENTS, order_ids, *named):
            payment = Payment(*row)
            locked.payments[payment.event_id, payment.payment_id] = payment
            if payment.order_id in locked.orders:
                locked.orders[payment.order_id].payments[payment.payment_id] = payment
    named = _of_events(events, request.refund_ids)
    if order_ids or named[0]:
        for row in await driver.fetch(READ_REFUNDS, order_ids, *named):
            refund = Refund(*row)
            locked.refunds[refund.event_id, refund.refund_id] = refund
            if refund.order_id in locked.orders:
                locked.orders[refund.order_id].refunds[refund.refund_id] = refund


def _of_events(
    events: dict[str, str], named: Iterable[tuple[str, str]]
) -> tuple[list[str], list[str]]:
    """Return the event and the ID of each payment or refund that is named, once."""
    pairs = {(events[order_id], id) for order_id, id in named if order_id in events}
    return [event_id for event_id, _ in pairs], [id for _, id in pairs]


async def read_ordered(
    driver: Driver,
    request: LockRequest,
    orders: Iterable[Order],
    ticket_types: Mapping[str, TicketType],
) -> Counter[tuple[str, str]]:
    """Return what the orders of users have of ticket types that have a limit for each user.

    Only of those users and ticket types whose number the commands may raise: those that want more,
    and those of orders, which a late payment may buy.
    """
    limited = {id for id, one in ticket_types.items() if one.max_per_user is not None}
    limited |= request.limited
    if not limited:
        return Counter()
    pairs = {(order.user_id, id) for order in orders for id in limited.intersection(order.items)}
    pairs.update(pair for pair in request.wanted if pair[1] in limited)
    if not pairs:
        return Counter()
    users, types = zip(*pairs, strict=True)
    rows = await driver.fetch(READ_ORDERED, users, types)
    return Counter({(user_id, type_id): held for user_id, type_id, held in rows})


def writes(changes: Changes) -> Iterator[tuple[str, list[Sequence[Any]]]]:
    """Yield the statements that save what changed of orders, in an order that meets all keys."""
    yield PUT_ORDERS, ORDERS.arrays(changes.orders.values())
    yield PUT_ORDER_ITEMS, ORDER_ITEMS.arrays(changes.order_items.values())
    # Sorted: no lock keeps two batches from recording the same IDs for orders of two buyers.
    payments = sorted(changes.new_payments, key=lambda one: (one.event_id, one.payment_id))
    yield INSERT_PAYMENTS, PAYMENTS.arrays(payments)
    refunds = sorted(changes.new_refunds, key=lambda one: (one.event_id, one.refund_id))
    yield INSERT_REFUNDS, REFUNDS.arrays(refunds)
