"""The document of an order: its tickets, and its money in minor units of its currency."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

OrderStatus = Literal["pending_payment", "paid", "cancelled", "expired"]
Disposition = Literal["accepted", "surplus"]
SurplusReason = Literal["order_expired", "order_cancelled", "event_cancelled", "already_paid"]

MAX_OPEN_ORDERS = 5
"""How many pending orders of an event a user has."""
MAX_PAYMENTS = 100
"""How many payments an order has."""
MAX_REFUNDS = 100
"""How many refunds an order has."""


@dataclass(slots=True)
class OrderItem:
    ticket_type_id: str
    name: str
    quantity: int
    released: int
    """How many of them are on sale again."""
    unit_price: int


@dataclass(slots=True)
class Payment:
    payment_id: str
    amount: int
    disposition: Disposition
    reason: SurplusReason | None
    at: datetime


@dataclass(slots=True)
class Refund:
    refund_id: str
    amount: int
    at: datetime


@dataclass(slots=True)
class Order:
    id: str
    event_id: str
    user_id: str
    status: OrderStatus
    currency: str
    total: int
    paid: int
    """The sum of all payments."""
    refunded: int
    kept: int
    """What the organizer keeps of the price of tickets that were given back."""
    refund_due: int
    """What was paid, less what was refunded and kept, less the price of the tickets that a paid
    order still has."""
    created_at: datetime
    pay_by: datetime
    items: list[OrderItem]
    payments: list[Payment]
    refunds: list[Refund]


@dataclass(slots=True)
class PaymentDecision:
    """What became of a payment: whether it buys tickets, or is due back and why."""

    payment_id: str
    disposition: Disposition
    reason: SurplusReason | None
