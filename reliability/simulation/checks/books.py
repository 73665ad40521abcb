"""Adds the books of orders up, without regard to any rule that led to them.

Its checks are those of `worker.audit`, which are SQL, on tables in memory.
"""

from collections import Counter
from collections.abc import Iterable, Iterator

from reliability.simulation.clients.clients import SentCommand
from reliability.simulation.fakes.tables import OrderItemRow, OrderRow, Tables
from shared.commands import RecordPayment, RecordRefund


def audit(tables: Tables) -> Iterator[str]:
    """Everything that the rows of orders, items, payments and refunds contradict each other in."""
    items: dict[str, list[OrderItemRow]] = {id: [] for id in tables["orders"]}
    for item in tables["items"].values():
        items[item.order_id].append(item)
    paid, accepted, refunded = Counter[str](), Counter[str](), Counter[str]()
    for payment in tables["payments"].values():
        paid[payment.order_id] += payment.amount
        if payment.disposition == "accepted":
            accepted[payment.order_id] += payment.amount
    for refund in tables["refunds"].values():
        refunded[refund.order_id] += refund.amount
    for order in tables["orders"].values():
        sums = (paid[order.id], accepted[order.id], refunded[order.id])
        if (order.paid, order.accepted, order.refunded) != sums:
            yield f"A1: the sums of {order} are {sums}"
        if order.status == "paid" and accepted[order.id] < order.total:
            yield f"A2: order {order.id} is paid by {accepted[order.id]} of {order.total}"
        yield from _audit_items(order, items[order.id])


def _audit_items(order: OrderRow, items: list[OrderItemRow]) -> Iterator[str]:
    if order.total != sum(item.quantity * item.unit_price for item in items):
        yield f"A1: order {order.id} costs {order.total}, and its items do not"
    value = sum(item.held * item.unit_price for item in items)
    if order.tickets_value != (value if order.status == "paid" else 0):
        yield f"A1: the tickets of order {order.id} are worth {value}, not {order.tickets_value}"
    if any(item.held_until != order.held_until for item in items):
        yield f"A3: what order {order.id} has expires apart from it"
    match order.status:
        case "pending_payment":
            has_its_tickets = all(item.held == item.quantity for item in items)
        case "paid":
            has_its_tickets = any(item.held for item in items) and all(
                item.held + item.released == item.quantity for item in items
            )
        case _:
            has_its_tickets = not any(item.held for item in items)
    if not items or not has_its_tickets:
        yield f"A4: order {order.id} is {order.status} and has {items}"


def compare_money(tables: Tables, sent: Iterable[SentCommand]) -> Iterator[str]:
    """Compare the recorded money with what the payment agents told and were answered."""
    told: set[tuple[str, str, str, int]] = set()
    answered: set[tuple[str, str, str, int]] = set()
    for asked in sent:
        for command in asked.payloads:
            if isinstance(command, RecordPayment | RecordRefund):
                told.add(_fact(command))
        for command, document in asked.answers:
            if isinstance(command, RecordPayment | RecordRefund) and _succeeded(document):
                answered.add(_fact(command))
    recorded = {
        ("payment", p.order_id, p.payment_id, p.amount) for p in tables["payments"].values()
    }
    recorded |= {("refund", r.order_id, r.refund_id, r.amount) for r in tables["refunds"].values()}
    for fact in sorted(answered - recorded):
        yield f"A5: {fact} is answered, and lost"
    for fact in sorted(recorded - told):
        yield f"A5: {fact} is recorded, and no agent reported it"


def _fact(command: RecordPayment | RecordRefund) -> tuple[str, str, str, int]:
    if isinstance(command, RecordPayment):
        return ("payment", command.order_id, command.payment_id, command.amount)
    return ("refund", command.order_id, command.refund_id, command.amount)


def _succeeded(document: str) -> bool:
    return '"status":"succeeded"' in document
