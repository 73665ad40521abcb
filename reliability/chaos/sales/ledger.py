"""What the shoppers of a round ordered, paid and were answered, and how the tables differ."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from reliability.chaos.checks.record import Document


@dataclass(slots=True)
class Payment:
    """Money that came in. It did, whatever is answered."""

    order_id: str
    amount: int
    dispositions: set[str] = field(default_factory=set)
    """What was answered: exactly one, if the invariant holds."""


@dataclass(slots=True)
class Ledger:
    orders: dict[str, Document] = field(default_factory=dict)
    """As they were when they were checked out."""
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: dict[str, tuple[str, int]] = field(default_factory=dict)
    """The order and the amount."""
    cancelled: set[str] = field(default_factory=set)
    strange: list[str] = field(default_factory=list)
    """Answers for which there is no reason, and commands that were never decided."""

    def accepted(self, order_id: str) -> int:
        """What was paid for an order and accepted."""
        return sum(
            payment.amount
            for payment in self.payments.values()
            if payment.order_id == order_id and "accepted" in payment.dispositions
        )

    def has_bought(self, order_id: str) -> bool:
        return order_id not in self.cancelled and (
            self.accepted(order_id) >= self.orders[order_id]["total"]
        )


@dataclass(frozen=True, slots=True)
class SaleTables:
    """What the tables have of a sale, in one snapshot."""

    orders: dict[str, tuple[str, int, int, int]]
    """Status, total, paid and refunded."""
    payments: list[tuple[str, str, int, str]]
    """Payment ID, order, amount and disposition."""
    refunds: list[tuple[str, str, int]]
    sold: dict[str, int]
    """By ticket type."""
    reserved: dict[str, int]
    held: dict[str, int]
    """What lies in active carts and pending orders."""


def compare(ledger: Ledger, tables: SaleTables) -> Iterable[str]:
    """Every difference between the shoppers' ledger and the tables."""
    yield from ledger.strange
    yield from _payments(ledger, tables)
    refunds = Counter((id, order_id, amount) for id, (order_id, amount) in ledger.refunds.items())
    if (stored := Counter(tables.refunds)) != refunds:
        yield f"M2: refunds recorded {stored - refunds}, missing {refunds - stored}"
    for id in ledger.orders.keys() ^ tables.orders.keys():
        yield f"M3: order {id} is only in one of the ledger and the tables"
    sold: Counter[str] = Counter()
    for id in ledger.orders.keys() & tables.orders.keys():
        yield from _order(ledger, id, *tables.orders[id])
        if ledger.has_bought(id):
            for item in ledger.orders[id]["items"]:
                sold[item["ticket_type_id"]] += item["quantity"]
    for id, number in tables.sold.items():
        if number != sold[id]:
            yield f"M5: {number} tickets of {id} are sold, {sold[id]} were paid for"
        if tables.reserved[id] != tables.held.get(id, 0):
            yield f"M5: {tables.reserved[id]} tickets of {id} are reserved, {tables.held} are held"


def _payments(ledger: Ledger, tables: SaleTables) -> Iterable[str]:
    recorded = Counter(id for id, *_ in tables.payments)
    for id, payment in ledger.payments.items():
        if len(payment.dispositions) != 1:
            yield f"M1: payment {id} was answered {payment.dispositions}"
        if recorded[id] != 1:
            yield f"M1: payment {id} is recorded {recorded[id]} times"
    for id, order_id, amount, disposition in tables.payments:
        told = ledger.payments.get(id)
        if told != Payment(order_id, amount, {disposition}):
            yield f"M1: payment {id} is {order_id, amount, disposition}, the agent told {told}"


def _order(
    ledger: Ledger, id: str, status: str, total: int, paid: int, refunded: int
) -> Iterable[str]:
    came_in = sum(each.amount for each in ledger.payments.values() if each.order_id == id)
    went_back = sum(amount for order_id, amount in ledger.refunds.values() if order_id == id)
    expected = (ledger.orders[id]["total"], came_in, went_back)
    if (total, paid, refunded) != expected:
        yield f"M3: total, paid and refunded of order {id}: {total, paid, refunded}, not {expected}"
    if (status == "paid") != ledger.has_bought(id):
        yield f"M4: order {id} is {status}; accepted were {ledger.accepted(id)} of {total}"
    if (status == "cancelled") != (id in ledger.cancelled):
        yield f"M4: order {id} is {status}, and its buyer heard otherwise"
