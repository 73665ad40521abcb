"""What the model knows: who holds, has ordered and has paid what."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime

from reliability.simulation.fakes.tables import EventRow, Tables, TicketTypeRow


@dataclass
class Hold:
    """An active cart."""

    cart_id: str
    opened_at: datetime
    expires_at: datetime
    lines: Counter[str]


@dataclass
class Purchase:
    """An order. What it owes and is owed is added up each time."""

    id: str
    event_id: str
    buyer: str
    currency: str
    pay_by: datetime
    held_until: datetime
    lines: dict[str, tuple[int, int]]
    """Quantity and unit price by ticket type."""
    status: str = "pending_payment"
    returned: Counter[str] = field(default_factory=Counter)
    payments: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """Amount, and why it is a surplus, by payment ID."""
    refunds: dict[str, int] = field(default_factory=dict)
    kept: int = 0

    @property
    def total(self) -> int:
        return sum(quantity * price for quantity, price in self.lines.values())

    @property
    def paid(self) -> int:
        return sum(amount for amount, _ in self.payments.values())

    @property
    def accepted(self) -> int:
        return sum(amount for amount, surplus in self.payments.values() if surplus is None)

    @property
    def refunded(self) -> int:
        return sum(self.refunds.values())

    @property
    def value(self) -> int:
        """The price of the tickets that are paid for and not returned."""
        if self.status != "paid":
            return 0
        return sum(self.has(id) * price for id, (_, price) in self.lines.items())

    @property
    def refund_due(self) -> int:
        return self.paid - self.refunded - self.kept - self.value

    def has(self, ticket_type_id: str) -> int:
        """The tickets that it has now."""
        if self.status not in ("pending_payment", "paid") or ticket_type_id not in self.lines:
            return 0
        return self.lines[ticket_type_id][0] - self.returned[ticket_type_id]

    def is_reached_with(self, amount: int) -> bool:
        """Whether what was accepted and is still here reaches the total with this amount."""
        still_here = self.paid - self.refunded - self.kept
        return min(self.accepted, still_here) + amount >= self.total


class State:
    """The expected rows after the outcomes so far."""

    def __init__(self, tables: Tables) -> None:
        self.users = set(tables["users"])
        self.emails = {user.email for user in tables["users"].values()}
        self.events: dict[str, EventRow] = dict(tables["events"])
        self.ticket_types: dict[str, TicketTypeRow] = dict(tables["ticket_types"])
        self.holds: dict[str, Hold] = {}
        """Active carts by user."""
        self.purchases: dict[str, Purchase] = {}
        self.payments: dict[tuple[str, str], Purchase] = {}
        """By event and payment ID; refunds likewise."""
        self.refunds: dict[tuple[str, str], Purchase] = {}

    def agent(self, event_id: str) -> str:
        """Who may record payments of an event."""
        event = self.events[event_id]
        return event.payment_agent_id or event.organizer_id

    def is_over(self, event_id: str, at: datetime) -> bool:
        event = self.events[event_id]
        return event.status == "ended" or event.ends_at <= at

    def reserved(self, ticket_type_id: str, over_at: datetime | None = None) -> int:
        """Tickets in carts and pending orders; without those that are over at a time."""
        in_carts = sum(
            hold.lines[ticket_type_id]
            for hold in self.holds.values()
            if over_at is None or hold.expires_at > over_at
        )
        return in_carts + sum(
            order.has(ticket_type_id)
            for order in self._pending()
            if over_at is None or order.held_until > over_at
        )

    def sold(self, ticket_type_id: str) -> int:
        return sum(
            order.has(ticket_type_id) for order in self.purchases.values() if order.status == "paid"
        )

    def available(self, ticket_type_id: str, over_at: datetime | None = None) -> int:
        total = self.ticket_types[ticket_type_id].total
        return total - self.reserved(ticket_type_id, over_at) - self.sold(ticket_type_id)

    def owned(self, user: str, ticket_type_id: str, over_at: datetime | None = None) -> int:
        """What a user has in the cart and in orders; without orders that are over at a time."""
        hold = self.holds.get(user)
        in_cart = hold.lines[ticket_type_id] if hold else 0
        return in_cart + sum(
            order.has(ticket_type_id)
            for order in self.purchases.values()
            if order.buyer == user
            and not (
                over_at is not None
                and order.status == "pending_payment"
                and order.held_until <= over_at
            )
        )

    def _pending(self) -> Iterator[Purchase]:
        return (order for order in self.purchases.values() if order.status == "pending_payment")
