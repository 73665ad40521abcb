"""Prices and limits of ticket types, an event's currency and agent, and when a cart was opened."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    # Constant defaults, also for workers of the revision before: Postgres rewrites no row.
    for column in (
        sa.Column("currency", sa.Text, nullable=False, server_default="EUR"),
        sa.Column("payment_agent_id", sa.Uuid),
    ):
        op.add_column("events", column, schema="booking")
    for column in (
        sa.Column("unit_price", sa.Integer, nullable=False, server_default="0"),
        sa.Column("min_per_order", sa.Integer, nullable=False, server_default="1"),
        sa.Column("max_per_order", sa.Integer),
        sa.Column("max_per_user", sa.Integer),
    ):
        op.add_column("ticket_types", column, schema="booking")
    # A cart from before counts as opened now.
    opened_at = sa.Column(
        "opened_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
    )
    op.add_column("carts", opened_at, schema="booking")
    for view in VIEWS:
        op.execute(view)


# Replaced and not made anew, so that their privileges stay.
VIEWS = (
    """
    CREATE OR REPLACE VIEW read_model.events AS
    SELECT id, organizer_id, name, starts_at, ends_at,
           CASE WHEN ends_at <= statement_timestamp() THEN 'ended' ELSE status END AS status,
           currency, coalesce(payment_agent_id, organizer_id) AS payment_agent_id
    FROM booking.events
    """,
    """
    CREATE OR REPLACE VIEW read_model.ticket_types AS
    SELECT id, event_id, name, total AS total_quantity, reserved AS reserved_quantity,
           sold AS sold_quantity, total - reserved - sold AS available,
           sale_starts_at, sale_ends_at, unit_price, min_per_order, max_per_order, max_per_user
    FROM booking.ticket_types
    """,
    """
    CREATE OR REPLACE VIEW read_model.carts AS
    SELECT cart.user_id, cart.id, cart.expires_at, line.ticket_type_id, ticket_type.event_id,
           line.quantity, ticket_type.name, event.name AS event_name, ticket_type.unit_price,
           event.currency
    FROM booking.carts AS cart
    JOIN booking.cart_items AS line ON line.cart_id = cart.id
    JOIN booking.ticket_types AS ticket_type ON ticket_type.id = line.ticket_type_id
    JOIN booking.events AS event ON event.id = ticket_type.event_id
    WHERE cart.status = 'active' AND cart.expires_at > statement_timestamp()
    """,
)
