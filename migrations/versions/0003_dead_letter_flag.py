"""A column that says whether a command is to be copied to the dead letters."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # A constant default: Postgres rewrites no row.
    op.add_column(
        "outcomes",
        sa.Column("dead_letter", sa.Boolean, nullable=False, server_default=sa.false()),
        schema="booking",
    )
    op.execute(FLAG_RECORDED)


# A worker that stopped between its commit and its dead letter left the message in the queue.
# Workers before this revision recognised such outcomes by their text.
FLAG_RECORDED = """
    UPDATE booking.outcomes SET dead_letter = true
    WHERE document LIKE '%"code":"unprocessable"%'
      AND document NOT LIKE '%"detail":"The sale would end before it starts."%'
"""
