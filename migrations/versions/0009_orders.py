"""Orders, their items, payments and refunds; carts that were checked out; a view of all of it."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

TIME = sa.DateTime(timezone=True)
PENDING = sa.text("status = 'pending_payment'")


def upgrade() -> None:
    # Constant defaults: Postgres rewrites no row.
    op.add_column(
        "events",
        sa.Column("orders_cancelled", sa.Boolean, nullable=False, server_default=sa.false()),
        schema="booking",
    )
    op.create_index(
        "events_with_orders_to_cancel",
        "events",
        ["id"],
        schema="booking",
        postgresql_where=sa.text("status = 'cancelled' AND NOT orders_cancelled"),
    )
    for statement in ALLOW_CHECKED_OUT:
        op.execute(statement)
    create_orders()
    create_order_items()
    create_payments()
    op.execute(VIEW)


# Not checked for the rows that there are: each has one of the states before.
ALLOW_CHECKED_OUT = (
    "ALTER TABLE booking.carts DROP CONSTRAINT carts_status_check",
    """
    ALTER TABLE booking.carts ADD CONSTRAINT carts_status_check
    CHECK (status IN ('active', 'expired', 'released', 'checked_out')) NOT VALID
    """,
    "ALTER TABLE booking.carts VALIDATE CONSTRAINT carts_status_check",
)


def create_orders() -> None:
    op.create_table(
        "orders",
        sa.Column("id", sa.Uuid, nullable=False),
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.Column("total", sa.BigInteger, nullable=False),
        sa.Column("paid", sa.BigInteger, nullable=False),
        sa.Column("accepted", sa.BigInteger, nullable=False),
        sa.Column("refunded", sa.BigInteger, nullable=False),
        sa.Column("kept", sa.BigInteger, nullable=False),
        sa.Column("tickets_value", sa.BigInteger, nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("pay_by", TIME, nullable=False),
        sa.Column("held_until", TIME),
        sa.PrimaryKeyConstraint("id", name="orders_pkey"),
        sa.ForeignKeyConstraint(["user_id"], ["booking.users.id"], name="orders_user_id_fkey"),
        sa.CheckConstraint(
            "status IN ('pending_payment', 'paid', 'cancelled', 'expired')",
            name="status",
        ),
        sa.CheckConstraint(
            "(status = 'pending_payment') = (held_until IS NOT NULL)", name="held_until"
        ),
        sa.CheckConstraint("accepted <= paid", name="accepted"),
        sa.CheckConstraint("refunded + kept + tickets_value <= paid", name="money"),
        sa.CheckConstraint(
            "least(total, paid, accepted, refunded, kept, tickets_value) >= 0",
            name="amounts",
        ),
        schema="booking",
    )
    for name, columns, where in (
        ("orders_by_event", ["event_id", "status", "created_at"], None),
        ("orders_by_user", ["user_id", "created_at"], None),
        ("orders_open", ["user_id", "event_id"], PENDING),
        ("orders_due", ["held_until"], sa.text("held_until IS NOT NULL")),
        (
            "orders_with_refund_due",
            ["event_id", "created_at"],
            sa.text("(paid - refunded - kept - tickets_value) > 0"),
        ),
    ):
        op.create_index(name, "orders", columns, schema="booking", postgresql_where=where)


def create_order_items() -> None:
    op.create_table(
        "order_items",
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("ticket_type_id", sa.Uuid, nullable=False),
        sa.Column("user_id", sa.Uuid, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("unit_price", sa.Integer, nullable=False),
        sa.Column("released", sa.Integer, nullable=False),
        sa.Column("held", sa.Integer, nullable=False),
        sa.Column("held_until", TIME),
        sa.PrimaryKeyConstraint("order_id", "ticket_type_id", name="order_items_pkey"),
        sa.ForeignKeyConstraint(
            ["order_id"], ["booking.orders.id"], name="order_items_order_id_fkey"
        ),
        sa.ForeignKeyConstraint(
            ["ticket_type_id"], ["booking.ticket_types.id"], name="order_items_ticket_type_id_fkey"
        ),
        sa.CheckConstraint("quantity > 0", name="quantity"),
        sa.CheckConstraint(
            "released >= 0 AND held >= 0 AND released + held <= quantity",
            name="held",
        ),
        schema="booking",
    )
    for name, columns, where in (
        ("order_items_held", ["user_id", "ticket_type_id"], "held > 0"),
        ("order_items_due", ["ticket_type_id", "held_until"], "held_until IS NOT NULL"),
    ):
        op.create_index(
            name, "order_items", columns, schema="booking", postgresql_where=sa.text(where)
        )


def create_payments() -> None:
    op.create_table(
        "payments",
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("payment_id", sa.Text, nullable=False),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("disposition", sa.Text, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "payment_id", name="payments_pkey"),
        sa.ForeignKeyConstraint(["order_id"], ["booking.orders.id"], name="payments_order_id_fkey"),
        sa.CheckConstraint("amount > 0", name="amount"),
        sa.CheckConstraint("(disposition = 'surplus') = (reason IS NOT NULL)", name="disposition"),
        schema="booking",
    )
    op.create_index("payments_by_order", "payments", ["order_id", "number"], schema="booking")
    op.create_table(
        "refunds",
        sa.Column("event_id", sa.Uuid, nullable=False),
        sa.Column("refund_id", sa.Text, nullable=False),
        sa.Column("order_id", sa.Uuid, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("amount", sa.BigInteger, nullable=False),
        sa.Column("recorded_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("event_id", "refund_id", name="refunds_pkey"),
        sa.ForeignKeyConstraint(["order_id"], ["booking.orders.id"], name="refunds_order_id_fkey"),
        sa.CheckConstraint("amount > 0", name="amount"),
        schema="booking",
    )
    op.create_index("refunds_by_order", "refunds", ["order_id", "number"], schema="booking")


# The parts of an order as JSON, so that a page of orders is one statement. Columns that a statement
# does not ask for are not looked up, where a join would be done for each order before they are
# sorted. What asks for the orders with a refund due finds them by the index of that expression.
VIEW = """
    CREATE VIEW read_model.orders AS
    SELECT purchase.id, purchase.event_id, purchase.user_id,
           (SELECT event.organizer_id
            FROM booking.events AS event WHERE event.id = purchase.event_id) AS organizer_id,
           (SELECT coalesce(event.payment_agent_id, event.organizer_id)
            FROM booking.events AS event WHERE event.id = purchase.event_id) AS payment_agent_id,
           purchase.status, purchase.currency, purchase.total, purchase.paid, purchase.refunded,
           purchase.kept,
           purchase.paid - purchase.refunded - purchase.kept - purchase.tickets_value
               AS refund_due,
           purchase.created_at, purchase.pay_by,
           (SELECT json_agg(json_build_object(
                'ticket_type_id', item.ticket_type_id, 'name', item.name,
                'quantity', item.quantity, 'released', item.released,
                'unit_price', item.unit_price) ORDER BY item.ticket_type_id)
            FROM booking.order_items AS item WHERE item.order_id = purchase.id) AS items,
           (SELECT coalesce(json_agg(json_build_object(
                'payment_id', payment.payment_id, 'amount', payment.amount,
                'disposition', payment.disposition, 'reason', payment.reason,
                'at', to_char(payment.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                ORDER BY payment.number), '[]')
            FROM booking.payments AS payment WHERE payment.order_id = purchase.id) AS payments,
           (SELECT coalesce(json_agg(json_build_object(
                'refund_id', refund.refund_id, 'amount', refund.amount,
                'at', to_char(refund.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'))
                ORDER BY refund.number), '[]')
            FROM booking.refunds AS refund WHERE refund.order_id = purchase.id) AS refunds
    FROM booking.orders AS purchase
"""  # noqa: E501 - the format of a time is one word
