"""The schema `booking`, declared once; the migrations bring a database to it.

The checks and unique indexes are the last line of defence. The worker decides under locks and does
not rely on them.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    Uuid,
    false,
    func,
    text,
)

metadata = MetaData(
    schema="booking",
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "fk": "%(table_name)s_%(column_0_name)s_fkey",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

users = Table(
    "users",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("email", Text, nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("registered_at", DateTime(timezone=True), nullable=False),
)
Index("users_email_key", func.lower(users.c.email), unique=True)

events = Table(
    "events",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("organizer_id", Uuid, ForeignKey("booking.users.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("starts_at", DateTime(timezone=True), nullable=False),
    Column("ends_at", DateTime(timezone=True), nullable=False),
    Column("status", Text, nullable=False),
    Column("currency", Text, nullable=False, server_default="EUR"),
    # None: the organizer. No foreign key, whose column no UPDATE would write: it is checked under
    # the user's lock, and users are never deleted.
    Column("payment_agent_id", Uuid),
    # Of a cancelled event: whether the sweep has cancelled all its orders.
    Column("orders_cancelled", Boolean, nullable=False, server_default=false()),
    CheckConstraint("status IN ('active', 'cancelled', 'ended')", name="status"),
    CheckConstraint("starts_at < ends_at", name="times"),
    Index("events_by_start", "starts_at", "id"),
    Index("events_by_end", "ends_at"),
    Index(
        "events_with_orders_to_cancel",
        "id",
        postgresql_where=text("status = 'cancelled' AND NOT orders_cancelled"),
    ),
)

ticket_types = Table(
    "ticket_types",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("event_id", Uuid, ForeignKey("booking.events.id"), nullable=False),
    Column("name", Text, nullable=False),
    Column("total", Integer, nullable=False),
    Column("reserved", Integer, nullable=False),
    Column("sold", Integer, nullable=False),
    Column("sale_starts_at", DateTime(timezone=True), nullable=False),
    Column("sale_ends_at", DateTime(timezone=True), nullable=False),
    # In minor units of the event's currency.
    Column("unit_price", Integer, nullable=False, server_default="0"),
    Column("min_per_order", Integer, nullable=False, server_default="1"),
    Column("max_per_order", Integer),
    Column("max_per_user", Integer),
    CheckConstraint("reserved >= 0", name="reserved"),
    CheckConstraint("sold >= 0", name="sold"),
    CheckConstraint("reserved + sold <= total", name="availability"),
    CheckConstraint("sale_starts_at < sale_ends_at", name="sale"),
    Index("ticket_types_by_event", "event_id"),
    # Every batch updates a hot row: free space keeps its versions on one page (HOT).
    postgresql_with={"fillfactor": "50"},
)

carts = Table(
    "carts",
    metadata,
    Column("id", Uuid, primary_key=True),
    Column("user_id", Uuid, ForeignKey("booking.users.id"), nullable=False),
    Column("status", Text, nullable=False),
    # When its first ticket was held.
    Column(
        "opened_at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.now(),
        info={"constant": True},
    ),
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("status IN ('active', 'expired', 'released', 'checked_out')", name="status"),
    Index(
        "carts_one_active_a_user",
        "user_id",
        unique=True,
        postgresql_where=text("status = 'active'"),
    ),
)

cart_items = Table(
    "cart_items",
    metadata,
    Column("cart_id", Uuid, ForeignKey("booking.carts.id"), primary_key=True),
    Column("ticket_type_id", Uuid, ForeignKey("booking.ticket_types.id"), primary_key=True),
    Column("quantity", Integer, nullable=False),
    # That of its cart, so that due carts are found by ticket type. A closed cart has no lines.
    Column("expires_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("quantity > 0", name="quantity"),
    # The condition is always true. A look-up by cart and ticket type does not imply it, so that
    # the planner cannot take this index where the primary key is meant.
    Index(
        "cart_items_due",
        "ticket_type_id",
        "expires_at",
        postgresql_where=text("expires_at IS NOT NULL"),
    ),
)

orders = Table(
    "orders",
    metadata,
    Column("id", Uuid, primary_key=True),
    # No foreign key, whose check would lock the event's row for each order. An event is never
    # deleted, and its ticket types are locked.
    Column("event_id", Uuid, nullable=False),
    Column("user_id", Uuid, ForeignKey("booking.users.id"), nullable=False),
    Column("status", Text, nullable=False),
    Column("currency", Text, nullable=False),
    # All amounts are in minor units of the currency.
    Column("total", BigInteger, nullable=False),
    Column("paid", BigInteger, nullable=False),
    # What of it was no surplus.
    Column("accepted", BigInteger, nullable=False),
    Column("refunded", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),
    # The price of the tickets that a paid order has.
    Column("tickets_value", BigInteger, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False),
    Column("pay_by", DateTime(timezone=True), nullable=False),
    # While it is pending; else None.
    Column("held_until", DateTime(timezone=True)),
    CheckConstraint("(status = 'pending_payment') = (held_until IS NOT NULL)", name="held_until"),
    CheckConstraint("status IN ('pending_payment', 'paid', 'cancelled', 'expired')", name="status"),
    CheckConstraint("accepted <= paid", name="accepted"),
    CheckConstraint("refunded + kept + tickets_value <= paid", name="money"),
    CheckConstraint(
        "least(total, paid, accepted, refunded, kept, tickets_value) >= 0", name="amounts"
    ),
    # For lists, which ask for `created_at > '-infinity'`. Look-ups do not, so that the planner
    # cannot take these two where an index below is meant. Without the ID, or Postgres might look
    # IDs up in them.
    Index(
        "orders_by_event",
        "event_id",
        "status",
        "created_at",
        postgresql_where=text("created_at IS NOT NULL"),
    ),
    Index(
        "orders_by_user",
        "user_id",
        "created_at",
        postgresql_where=text("created_at IS NOT NULL"),
    ),
    Index(
        "orders_open",
        "user_id",
        "event_id",
        postgresql_where=text("status = 'pending_payment'"),
    ),
    Index("orders_due", "held_until", postgresql_where=text("held_until IS NOT NULL")),
    Index(
        "orders_with_refund_due",
        "event_id",
        "created_at",
        postgresql_where=text("(paid - refunded - kept - tickets_value) > 0"),
    ),
)

order_items = Table(
    "order_items",
    metadata,
    Column("order_id", Uuid, ForeignKey("booking.orders.id"), primary_key=True),
    Column("ticket_type_id", Uuid, ForeignKey("booking.ticket_types.id"), primary_key=True),
    # The order's, for the two indexes.
    Column("user_id", Uuid, nullable=False),
    Column("name", Text, nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("unit_price", Integer, nullable=False),
    Column("released", Integer, nullable=False),
    # How many tickets the order has now: pending ones are reserved, paid ones sold.
    Column("held", Integer, nullable=False),
    # The order's, while it is pending; else None.
    Column("held_until", DateTime(timezone=True)),
    CheckConstraint("quantity > 0", name="quantity"),
    CheckConstraint("released >= 0 AND held >= 0 AND released + held <= quantity", name="held"),
    Index(
        "order_items_held",
        "user_id",
        "ticket_type_id",
        postgresql_where=text("held > 0"),
    ),
    Index(
        "order_items_due",
        "ticket_type_id",
        "held_until",
        postgresql_where=text("held_until IS NOT NULL"),
    ),
)

payments = Table(
    "payments",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    # As the payment provider names it.
    Column("payment_id", Text, primary_key=True),
    Column("order_id", Uuid, ForeignKey("booking.orders.id"), nullable=False),
    # Its place among the payments of the order.
    Column("number", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("disposition", Text, nullable=False),
    Column("reason", Text),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("(disposition = 'surplus') = (reason IS NOT NULL)", name="disposition"),
    Index("payments_by_order", "order_id", "number"),
)

refunds = Table(
    "refunds",
    metadata,
    Column("event_id", Uuid, primary_key=True),
    Column("refund_id", Text, primary_key=True),
    Column("order_id", Uuid, ForeignKey("booking.orders.id"), nullable=False),
    # Its place among the refunds of the order.
    Column("number", Integer, nullable=False),
    Column("amount", BigInteger, nullable=False),
    Column("recorded_at", DateTime(timezone=True), nullable=False),
    CheckConstraint("amount > 0", name="amount"),
    Index("refunds_by_order", "order_id", "number"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("command_id", Uuid, primary_key=True),
    # No foreign key: a command of an unknown user has an outcome too.
    Column("user_id", Uuid, nullable=False),
    Column("fingerprint", LargeBinary, nullable=False),
    Column("document", Text, nullable=False),
    # Whether the command is to be copied to the dead letters before its message is acknowledged.
    Column("dead_letter", Boolean, nullable=False, server_default=false()),
    Column("decided_at", DateTime(timezone=True), nullable=False),
    # A partition for each UTC day of the ID, and none for other IDs: where an outcome can no
    # longer be found, none can be recorded.
    postgresql_partition_by="RANGE (command_id)",
)
