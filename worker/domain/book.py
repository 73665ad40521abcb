"""The book: what a batch locked of users, events, ticket types, carts and orders, and changes.

The book is open for one transaction. `decide` reads and changes it; what is changed is
noted in `Changes`, which is all that is saved.
"""

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from shared import outcomes
from shared.ids import first_id_at
from shared.money import DEFAULT_CURRENCY
from worker.domain.order import Order, OrderItem, Payment, Refund

RETENTION_MARGIN = timedelta(days=1)
"""How much longer than its ID is accepted an outcome is kept: two clocks may differ by less."""


@dataclass(slots=True, frozen=True)
class Rules:
    """What an operator sets."""

    hold: timedelta
    """How long a cart holds its tickets."""
    max_hold: timedelta
    """How long after its first hold a cart may hold tickets, however often it is extended."""
    payment: timedelta
    """How long a buyer has to pay an order."""
    payment_grace: timedelta
    """How much longer an order's tickets are held, for payments that are told late."""
    command_window: timedelta
    """How old a command ID may be and still be accepted."""

    @property
    def retention(self) -> timedelta:
        """How old a command ID may be and its outcome still be on record."""
        return self.command_window + RETENTION_MARGIN


@dataclass(slots=True)
class User:
    id: str
    email: str
    password_hash: str
    registered_at: datetime


@dataclass(slots=True)
class Event:
    id: str
    organizer_id: str
    name: str
    starts_at: datetime
    ends_at: datetime
    status: outcomes.EventStatus
    currency: str = DEFAULT_CURRENCY
    payment_agent_id: str | None = None
    """The user that records payments instead of the organizer; None: the organizer does."""

    @property
    def agent_id(self) -> str:
        """The user that may record payments."""
        return self.payment_agent_id or self.organizer_id

    def has_ended(self, now: datetime) -> bool:
        return self.status == "ended" or self.ends_at <= now

    def to_document(self, now: datetime) -> outcomes.Event:
        status = "ended" if self.has_ended(now) else self.status
        return outcomes.Event(
            id=self.id,
            organizer_id=self.organizer_id,
            name=self.name,
            starts_at=self.starts_at,
            ends_at=self.ends_at,
            status=status,
            currency=self.currency,
            payment_agent_id=self.agent_id,
        )


@dataclass(slots=True)
class TicketType:
    id: str
    event_id: str
    name: str
    total: int
    reserved: int
    sold: int
    sale_starts_at: datetime
    sale_ends_at: datetime
    unit_price: int = 0
    """Minor units."""
    min_per_order: int = 1
    max_per_order: int | None = None
    max_per_user: int | None = None

    @property
    def available(self) -> int:
        return self.total - self.reserved - self.sold

    def to_document(self) -> outcomes.TicketType:
        return outcomes.TicketType(
            id=self.id,
            event_id=self.event_id,
            name=self.name,
            total_quantity=self.total,
            reserved_quantity=self.reserved,
            sold_quantity=self.sold,
            available=self.available,
            sale_starts_at=self.sale_starts_at,
            sale_ends_at=self.sale_ends_at,
            unit_price=self.unit_price,
            min_per_order=self.min_per_order,
            max_per_order=self.max_per_order,
            max_per_user=self.max_per_user,
        )


@dataclass(slots=True)
class Cart:
    """What a user holds. It is active while it has lines, and has lines while it is active."""

    id: str
    user_id: str
    opened_at: datetime
    expires_at: datetime
    status: Literal["active", "expired", "released", "checked_out"] = "active"
    lines: dict[str, int] = field(default_factory=dict)
    """Quantity by ticket type ID."""


@dataclass(slots=True)
class Changes:
    """What a batch did to the book."""

    new_users: list[User] = field(default_factory=list)
    new_events: dict[str, Event] = field(default_factory=dict)
    changed_events: dict[str, Event] = field(default_factory=dict)
    new_ticket_types: dict[str, TicketType] = field(default_factory=dict)
    changed_ticket_types: dict[str, TicketType] = field(default_factory=dict)
    opened_carts: dict[str, Cart] = field(default_factory=dict)
    extended_carts: dict[str, Cart] = field(default_factory=dict)
    closed_carts: dict[str, Cart] = field(default_factory=dict)
    touched_lines: dict[tuple[str, str], Cart] = field(default_factory=dict)
    """Carts by (cart ID, ticket type ID) of the lines that were written."""
    orders: dict[str, Order] = field(default_factory=dict)
    """Orders that are new or changed."""
    order_items: dict[tuple[str, str], OrderItem] = field(default_factory=dict)
    """Their items that are new or changed, by (order ID, ticket type ID)."""
    new_payments: list[Payment] = field(default_factory=list)
    new_refunds: list[Refund] = field(default_factory=list)


@dataclass(slots=True)
class Book:
    now: datetime
    rules: Rules
    user_ids: set[str]
    """The users that exist, of those the batch names."""
    emails: set[str]
    """The e-mail addresses that are taken, of those the batch registers, in lower case."""
    events: dict[str, Event]
    ticket_types: dict[str, TicketType]
    carts: dict[str, Cart]
    """The active carts, by user ID."""
    orders: dict[str, Order] = field(default_factory=dict)
    """Those that the batch names, those that are due, and the pending ones of who checks out."""
    payments: dict[tuple[str, str], Payment] = field(default_factory=dict)
    """By (event ID, payment ID): those of the orders, and those that the batch names."""
    refunds: dict[tuple[str, str], Refund] = field(default_factory=dict)
    """By (event ID, refund ID), likewise."""
    ordered: Counter[tuple[str, str]] = field(default_factory=Counter, compare=False)
    """Tickets in all orders of a user, by (user ID, ticket type ID), where there is a limit."""
    changes: Changes = field(default_factory=Changes)
    _ticket_types_by_event: Counter[str] | None = field(default=None, init=False, compare=False)
    """Counted once a batch, and only where a ticket type is created."""
    open_orders: Counter[tuple[str, str]] = field(init=False, compare=False)
    """Pending orders by (user ID, event ID), right for who checks out."""
    oldest_command_id: str = field(init=False)
    """Where the window of command IDs begins: a smaller ID is too old."""
    oldest_kept_id: str = field(init=False)
    """Start of the retention: outcomes of smaller IDs cannot be stored."""

    def __post_init__(self) -> None:
        self.oldest_command_id = _first_id_at(self.now - self.rules.command_window)
        self.oldest_kept_id = _first_id_at(self.now - self.rules.retention)
        self.open_orders = Counter(
            (order.user_id, order.event_id)
            for order in self.orders.values()
            if order.status == "pending_payment"
        )

    def expire_carts(self) -> None:
        """Close every cart whose hold is over and give its tickets back."""
        for cart in [cart for cart in self.carts.values() if cart.expires_at <= self.now]:
            self._close(cart, "expired")

    def hold(self, user_id: str, ticket_type: TicketType, quantity: int, cart_id: str) -> None:
        """Add tickets to the user's cart, opening it under `cart_id` where there is none."""
        cart = self.carts.get(user_id)
        if cart is None:
            cart = Cart(cart_id, user_id, self.now, self.now + self.rules.hold)
            self.carts[user_id] = cart
            self.changes.opened_carts[cart.id] = cart
        cart.lines[ticket_type.id] = cart.lines.get(ticket_type.id, 0) + quantity
        self.move(ticket_type.id, reserved=quantity)
        self.changes.touched_lines[cart.id, ticket_type.id] = cart

    def give_back(self, cart: Cart, ticket_type_id: str, quantity: int) -> None:
        """Take tickets out of a cart; a cart without lines is released."""
        left = cart.lines[ticket_type_id] - quantity
        if left == 0 and len(cart.lines) == 1:
            self.release(cart)
            return
        self.move(ticket_type_id, reserved=-quantity)
        self.changes.touched_lines[cart.id, ticket_type_id] = cart
        if left:
            cart.lines[ticket_type_id] = left
        else:
            del cart.lines[ticket_type_id]

    def extend(self, cart: Cart, expires_at: datetime) -> None:
        """Hold the tickets of a cart until `expires_at`."""
        cart.expires_at = expires_at
        self.changes.extended_carts[cart.id] = cart

    def release(self, cart: Cart) -> None:
        """Close a cart at its owner's wish and give its tickets back."""
        self._close(cart, "released")

    def take_out(self, cart: Cart, ticket_type_ids: Collection[str]) -> None:
        """Take lines out of a cart into an order, which goes on holding their tickets."""
        if len(ticket_type_ids) == len(cart.lines):
            self._end(cart, "checked_out")
            return
        for ticket_type_id in ticket_type_ids:
            del cart.lines[ticket_type_id]
            self.changes.touched_lines[cart.id, ticket_type_id] = cart

    def move(self, ticket_type_id: str, *, reserved: int = 0, sold: int = 0) -> None:
        """Add to what a ticket type has reserved and sold; negative numbers give back."""
        ticket_type = self.ticket_types[ticket_type_id]
        ticket_type.reserved += reserved
        ticket_type.sold += sold
        self.change_ticket_type(ticket_type)

    def change_event(self, event: Event) -> None:
        """Note that an event differs from what is stored."""
        if event.id not in self.changes.new_events:
            self.changes.changed_events[event.id] = event

    def count_ticket_types(self, event_id: str) -> int:
        """Return how many ticket types an event has. The event must be locked with them."""
        if self._ticket_types_by_event is None:
            event_ids = (ticket_type.event_id for ticket_type in self.ticket_types.values())
            self._ticket_types_by_event = Counter(event_ids)
        return self._ticket_types_by_event[event_id]

    def add_ticket_type(self, ticket_type: TicketType) -> None:
        """Add a new ticket type to its event."""
        self.ticket_types[ticket_type.id] = ticket_type
        self.changes.new_ticket_types[ticket_type.id] = ticket_type
        if self._ticket_types_by_event is not None:
            self._ticket_types_by_event[ticket_type.event_id] += 1

    def change_ticket_type(self, ticket_type: TicketType) -> None:
        """Note that a ticket type differs from what is stored."""
        if ticket_type.id not in self.changes.new_ticket_types:
            self.changes.changed_ticket_types[ticket_type.id] = ticket_type

    def _close(self, cart: Cart, status: Literal["expired", "released"]) -> None:
        self._end(cart, status)
        for ticket_type_id, quantity in cart.lines.items():
            self.move(ticket_type_id, reserved=-quantity)

    def _end(self, cart: Cart, status: Literal["expired", "released", "checked_out"]) -> None:
        cart.status = status
        del self.carts[cart.user_id]
        self.changes.closed_carts[cart.id] = cart


def _first_id_at(at: datetime) -> str:
    return first_id_at(int(at.timestamp() * 1000))
