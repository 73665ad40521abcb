"""The indexes for lists of orders serve lists alone, whatever the planner believes.

Each has a condition that only a list states. Check-outs and payments wait while they are created.
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

COLUMNS = {
    "orders_by_event": ["event_id", "status", "created_at"],
    "orders_by_user": ["user_id", "created_at"],
}


def upgrade() -> None:
    for name, columns in COLUMNS.items():
        op.drop_index(name, "orders", schema="booking")
        op.create_index(
            name,
            "orders",
            columns,
            schema="booking",
            postgresql_where=sa.text("created_at IS NOT NULL"),
        )
