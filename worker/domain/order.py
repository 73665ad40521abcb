"""An order: the tickets that it holds and the money that was paid for it. `ledger.py` moves both.

Tickets and money are two ledgers. What an order holds is reserved while the order is pending and
sold while it is paid; a payment stays recorded, whatever becomes of the order.
"""

from dataclasses import dataclass, field
from datetime import datetime

from shared import orders


@dataclass(slots=True)
class OrderItem:
    """The tickets of one type in an order."""

    order_id: str
    ticket_type_id: str
    user_id: str
    name: str
    quantity: int
    unit_price: int
    """Minor units, as it was when the cart was checked out."""
    held: int
    """How many tickets the order has now."""
    held_until: datetime | None
    """When the hold of a pending order is over; None for any other order."""
    released: int = 0
    """How many are on sale again, for good."""


@dataclass(slots=True)
class Payment:
    event_id: str
    payment_id: str
    order_id: str
    number: int
    """Its place among the payments of the order."""
    amount: int
    disposition: orders.Disposition
    reason: orders.SurplusReason | None
    recorded_at: datetime


@dataclass(slots=True)
class Refund:
    event_id: str
    refund_id: str
    order_id: str
    number: int
    """Its place among the refunds of the order."""
    amount: int
    recorded_at: datetime


@dataclass(slots=True)
class Order:
    """All amounts are in minor units of the currency."""

    id: str
    event_id: str
    user_id: str
    status: orders.OrderStatus
    currency: str
    total: int
    created_at: datetime
    pay_by: datetime
    held_until: datetime | None
    """When a pending order expires: some time after `pay_by`, for payments that are told late. None
    for any other order."""
    paid: int = 0
    """The sum of all payments."""
    accepted: int = 0
    """The sum of the payments that are no surplus."""
    refunded: int = 0
    kept: int = 0
    tickets_value: int = 0
    """The price of the tickets that a paid order has."""
    items: dict[str, OrderItem] = field(default_factory=dict)
    """By ticket type ID."""
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: dict[str, Refund] = field(default_factory=dict)

    @property
    def refund_due(self) -> int:
        return self.paid - self.refunded - self.kept - self.tickets_value

    def would_be_paid_with(self, amount: int) -> bool:
        """Return whether what is left of the accepted payments, plus `amount`, reaches the total.

        Refunds and kept amounts use up surplus payments first.
        """
        accepted_left = min(self.accepted, self.paid - self.refunded - self.kept)
        return accepted_left + amount >= self.total

    def to_document(self) -> orders.Order:
        return orders.Order(
            id=self.id,
            event_id=self.event_id,
            user_id=self.user_id,
            status=self.status,
            currency=self.currency,
            total=self.total,
            paid=self.paid,
            refunded=self.refunded,
            kept=self.kept,
            refund_due=self.refund_due,
            created_at=self.created_at,
            pay_by=self.pay_by,
            items=[
                orders.OrderItem(id, item.name, item.quantity, item.released, item.unit_price)
                for id, item in sorted(self.items.items())
            ],
            payments=[
                orders.Payment(
                    payment.payment_id,
                    payment.amount,
                    payment.disposition,
                    payment.reason,
                    payment.recorded_at,
                )
                for payment in self.payments.values()
            ],
            refunds=[
                orders.Refund(refund.refund_id, refund.amount, refund.recorded_at)
                for refund in self.refunds.values()
            ],
        )
