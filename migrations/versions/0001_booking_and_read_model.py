"""Creates the schema `booking`, which workers write, and `read_model`, which gateways read."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.execute("CREATE SCHEMA booking")
    op.create_table(
        "users",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("email", sa.Text, nullable=False),
        sa.Column("password_hash", sa.Text, nullable=False),
        sa.Column("registered_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="users_pkey"),
        schema="booking",
    )
    op.create_index(
        "users_email_key", "users", [sa.text("lower(email)")], unique=True, schema="booking"
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("organizer_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("starts_at", TIME, nullable=False),
        sa.Column("ends_at", TIME, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="events_pkey"),
        sa.ForeignKeyConstraint(
            ["organizer_id"], ["booking.users.id"], name="events_organizer_id_fkey"
        ),
        sa.CheckConstraint("status IN ('active', 'cancelled', 'ended')", name="status"),
        sa.CheckConstraint("starts_at < ends_at", name="times"),
        schema="booking",
    )
    op.create_index("events_by_start", "events", ["starts_at", "id"], schema="booking")
    op.create_table(
        "ticket_types",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("total", sa.Integer, nullable=False),
        sa.Column("reserved", sa.Integer, nullable=False),
        sa.Column("sold", sa.Integer, nullable=False),
        sa.Column("sale_starts_at", TIME, nullable=False),
        sa.Column("sale_ends_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="ticket_types_pkey"),
        sa.ForeignKeyConstraint(
            ["event_id"], ["booking.events.id"], name="ticket_types_event_id_fkey"
        ),
        sa.CheckConstraint("reserved >= 0", name="reserved"),
        sa.CheckConstraint("sold >= 0", name="sold"),
        sa.CheckConstraint("reserved + sold <= total", name="availability"),
        sa.CheckConstraint("sale_starts_at < sale_ends_at", name="sale"),
        schema="booking",
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index("ticket_types_by_event", "ticket_types", ["event_id"], schema="booking")
    op.create_table(
        "carts",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="carts_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["booking.users.id"], name="carts_user_id_fkey"),
        sa.CheckConstraint("status IN ('active', 'expired', 'released')", name="status"),
        schema="booking",
    )
    active = sa.text("status = 'active'")
    op.create_index(
        "carts_one_active_a_user",
        "carts",
        ["user_id"],
        unique=True,
        schema="booking",
        postgresql_where=active,
    )
    op.create_index("carts_due", "carts", ["expires_at"], schema="booking", postgresql_where=active)
    op.create_table(
        "cart_items",
        sa.Column("cart_id", sa.Uuid, nullable=False),
        sa.Column("ticket_type_id", sa.Uuid, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("cart_id", "ticket_type_id", name="cart_items_pkey"),
        sa.ForeignKeyConstraint(["cart_id"], ["booking.carts.id"], name="cart_items_cart_id_fkey"),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"], ["booking.ticket_types.id"], name="cart_items_ticket_type_id_fkey"
        ),
        sa.CheckConstraint("quantity > 0", name="quantity"),
        schema="booking",
    )
    op.create_table(
        "outcomes",
        sa.Column("command_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sa.Column("decided_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("command_id", name="outcomes_pkey"),
        schema="booking",
    )
    op.execute("CREATE SCHEMA read_model")
    for view in VIEWS:
        op.execute(view)


VIEWS = (
    """
    CREATE VIEW read_model.users AS SELECT id, email FROM booking.users
    """,
    """
    CREATE VIEW read_model.credentials AS
    SELECT id AS user_id, email, password_hash FROM booking.users
    """,
    """
    CREATE VIEW read_model.events AS
    SELECT id, organizer_id, name, starts_at, ends_at,
           CASE WHEN ends_at <= statement_timestamp() THEN 'ended' ELSE status END AS status
    FROM booking.events
    """,
    """
    CREATE VIEW read_model.ticket_types AS
    SELECT id, event_id, name, total AS total_quantity, reserved AS reserved_quantity,
           sold AS sold_quantity, total - reserved - sold AS available,
           sale_starts_at, sale_ends_at
    FROM booking.ticket_types
    """,
    """
    CREATE VIEW read_model.carts AS
    SELECT cart.user_id, cart.id, cart.expires_at, line.ticket_type_id, ticket_type.event_id,
           line.quantity
    FROM booking.carts AS cart
    JOIN booking.cart_items AS line ON line.cart_id = cart.id
    JOIN booking.ticket_types AS ticket_type ON ticket_type.id = line.ticket_type_id
    WHERE cart.status = 'active' AND cart.expires_at > statement_timestamp()
    """,
    """
    CREATE VIEW read_model.outcomes AS SELECT command_id, user_id, document FROM booking.outcomes
    """,
)
