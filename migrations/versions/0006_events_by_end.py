"""An index of the ends of events: the list of active events does not read those that have ended."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("events_by_end", "events", ["ends_at"], schema="booking")
