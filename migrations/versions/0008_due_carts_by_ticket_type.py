"""Lines carry the expiry of their cart, so that due carts are found by ticket type.

A closed cart has no lines any more. Stop the workers first: a worker of the revision before cannot
add lines, and leaves those of the carts that it closes.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.execute("""
        DELETE FROM booking.cart_items AS line USING booking.carts AS cart
        WHERE cart.id = line.cart_id AND cart.status <> 'active'
    """)
    expires_at = sa.Column("expires_at", sa.DateTime(timezone=True))
    op.add_column("cart_items", expires_at, schema="booking")
    op.execute("""
        UPDATE booking.cart_items AS line SET expires_at = cart.expires_at
        FROM booking.carts AS cart WHERE cart.id = line.cart_id
    """)
    op.alter_column("cart_items", "expires_at", nullable=False, schema="booking")
    # The condition keeps the index out of look-ups by cart and ticket type.
    op.create_index(
        "cart_items_due",
        "cart_items",
        ["ticket_type_id", "expires_at"],
        schema="booking",
        postgresql_where=sa.text("expires_at IS NOT NULL"),
    )
    op.drop_index("carts_due", "carts", schema="booking")
