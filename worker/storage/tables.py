"""The schema `booking`, declared once; the migrations bring a database to it.

The checks and unique indexes are the last line of defence. The worker decides under locks and does
not rely on them.
"""

from sqlalchemy import (
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
    CheckConstraint("status IN ('active', 'cancelled', 'ended')", name="status"),
    CheckConstraint("starts_at < ends_at", name="times"),
    Index("events_by_start", "starts_at", "id"),
    Index("events_by_end", "ends_at"),
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
    CheckConstraint("status IN ('active', 'expired', 'released')", name="status"),
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
