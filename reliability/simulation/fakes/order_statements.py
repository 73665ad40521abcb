"""What the statements of orders do, on tables in memory."""

from collections.abc import Awaitable, Callable, Iterator

from reliability.simulation.fakes.statements import Column, Ids, Rows, due_order_items
from reliability.simulation.fakes.tables import (
    OrderItemRow,
    OrderRow,
    PaymentRow,
    RefundRow,
    Table,
    Transaction,
)
from worker.operations.cancelled_events import MARK_EVENTS, ORDERS_TO_CANCEL
from worker.storage import order_statements

MAX_PENDING = 100
"""How many pending orders of a user and an event are read."""
LIVE = ("pending_payment", "paid")


async def look_up_buyers(tx: Transaction, sql: str, order_ids: Ids, sender_ids: Ids) -> Rows:
    now = tx.database.now()
    rows: Rows = []
    for order in _orders(tx, order_ids):
        is_due = order.held_until is not None and order.held_until <= now
        wanted = []
        if order.status == "expired" or is_due:
            wanted = [item.ticket_type_id for item in _items(tx, [order.id])]
        rows.append((order.id, order.user_id, wanted))
    return rows + [(None, id, []) for id in sender_ids if tx.get("users", id) is not None]


async def read_orders(
    tx: Transaction, sql: str, user_ids: Ids, order_ids: Ids, wanted_ids: Ids,
    buyer_ids: Ids, event_ids: Ids, max_due: int,
) -> Rows:  # fmt: skip
    found = dict.fromkeys(order_ids)
    for wanted in wanted_ids:
        due = due_order_items(tx, tx.database.now(), [wanted])
        mine = [item.order_id for item in due if item.user_id in user_ids]
        found |= dict.fromkeys(mine[:max_due])
    for buyer in zip(buyer_ids, event_ids, strict=True):
        pending = [
            order.id
            for _, order in tx.rows("orders")
            if (order.user_id, order.event_id) == buyer and order.status == "pending_payment"
        ]
        found |= dict.fromkeys(pending[:MAX_PENDING])
    return [order for order in _orders(tx, list(found)) if order.user_id in user_ids]


async def read_order_items(tx: Transaction, sql: str, order_ids: Ids) -> Rows:
    return list(_items(tx, order_ids))


async def read_payments(
    tx: Transaction, sql: str, order_ids: Ids, event_ids: Ids, ids: Ids
) -> Rows:
    return _money(tx, "payments", order_ids, event_ids, ids)


async def read_refunds(tx: Transaction, sql: str, order_ids: Ids, event_ids: Ids, ids: Ids) -> Rows:
    return _money(tx, "refunds", order_ids, event_ids, ids)


async def read_ordered(tx: Transaction, sql: str, user_ids: Ids, type_ids: Ids) -> Rows:
    rows: Rows = []
    for pair in zip(user_ids, type_ids, strict=True):
        held = [
            item.held
            for _, item in tx.rows("items")
            if (item.user_id, item.ticket_type_id) == pair and item.held > 0
        ]
        if held:
            rows.append((*pair, sum(held)))
    return rows


async def put_orders(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        order = OrderRow(*row)
        stored = tx.get("orders", order.id)
        if stored is None:
            await tx.insert("orders", order.id, order)
        else:
            order = stored._replace(
                status=order.status, pay_by=order.pay_by, held_until=order.held_until,
                paid=order.paid, accepted=order.accepted, refunded=order.refunded,
                kept=order.kept, tickets_value=order.tickets_value,
            )  # fmt: skip
            tx.put("orders", order.id, order)
        spent = order.refunded + order.kept + order.tickets_value
        least = min(order.total, order.accepted, order.refunded, order.kept, order.tickets_value)
        if (order.status == "pending_payment") != (order.held_until is not None):
            tx.refuse(f"an order that is {order.status} and held until {order.held_until}")
        if least < 0 or order.accepted > order.paid or spent > order.paid:
            tx.refuse(f"the money of {order}")
    return []


async def put_order_items(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        item = OrderItemRow(*row)
        key = (item.order_id, item.ticket_type_id)
        stored = tx.get("items", key)
        if stored is not None:
            item = stored._replace(
                held=item.held, held_until=item.held_until, released=item.released
            )
        tx.put("items", key, item)
        if min(item.held, item.released, item.quantity - item.held - item.released) < 0:
            tx.refuse(f"{item.held} held and {item.released} released of {item.quantity}")
    return []


async def insert_payments(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        payment = PaymentRow(*row)
        await tx.insert("payments", (payment.event_id, payment.payment_id), payment)
    return []


async def insert_refunds(tx: Transaction, sql: str, *columns: Column) -> Rows:
    for row in zip(*columns, strict=True):
        refund = RefundRow(*row)
        await tx.insert("refunds", (refund.event_id, refund.refund_id), refund)
    return []


async def orders_to_cancel(tx: Transaction, sql: str, limit: int) -> Rows:
    found = [
        (order.user_id, order.id)
        for _, order in tx.rows("orders")
        if order.status in LIVE and _awaits_sweep(tx, order.event_id)
    ]
    return found[:limit]


async def mark_events(tx: Transaction, sql: str) -> Rows:
    live = {order.event_id for _, order in tx.rows("orders") if order.status in LIVE}
    for id, _ in tx.rows("events"):
        if id not in live and _awaits_sweep(tx, id):
            tx.put("swept_events", id, True)
    return []


def _awaits_sweep(tx: Transaction, event_id: str) -> bool:
    is_cancelled = tx.get("events", event_id).status == "cancelled"
    return is_cancelled and tx.get("swept_events", event_id) is None


def _orders(tx: Transaction, ids: Ids) -> Iterator[OrderRow]:
    found = (tx.get("orders", id) for id in ids)
    return (order for order in found if order is not None)


def _items(tx: Transaction, order_ids: Ids) -> Iterator[OrderItemRow]:
    return (item for _, item in tx.rows("items") if item.order_id in order_ids)


def _money(tx: Transaction, table: Table, order_ids: Ids, event_ids: Ids, ids: Ids) -> Rows:
    """The payments or refunds of the orders, and those that are named, by their numbers."""
    named = set(zip(event_ids, ids, strict=True))
    rows = [row for key, row in tx.rows(table) if row.order_id in order_ids or key in named]
    return sorted(rows, key=lambda row: row.number)


_HANDLERS: dict[str, Callable[..., Awaitable[Rows]]] = {
    "LOOK_UP_BUYERS": look_up_buyers,
    "READ_ORDERS": read_orders,
    "READ_ORDER_ITEMS": read_order_items,
    "READ_PAYMENTS": read_payments,
    "READ_REFUNDS": read_refunds,
    "READ_ORDERED": read_ordered,
    "PUT_ORDERS": put_orders,
    "PUT_ORDER_ITEMS": put_order_items,
    "INSERT_PAYMENTS": insert_payments,
    "INSERT_REFUNDS": insert_refunds,
}

ORDER_STATEMENTS: dict[str, tuple[str, Callable[..., Awaitable[Rows]]]] = {
    getattr(order_statements, name): (name.lower(), handler) for name, handler in _HANDLERS.items()
} | {
    ORDERS_TO_CANCEL: ("orders_to_cancel", orders_to_cancel),
    MARK_EVENTS: ("mark_events", mark_events),
}
"""Name and handler of a statement, by its text."""
