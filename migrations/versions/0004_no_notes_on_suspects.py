"""Drop the notes on commands tried alone: poison suspects are decided in a process of their own."""

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.drop_table("trials", schema="booking")
