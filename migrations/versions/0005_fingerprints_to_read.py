"""The fingerprint of a command beside its outcome, for readers under a key that was used twice."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute(
        """
        CREATE OR REPLACE VIEW read_model.outcomes AS
        SELECT command_id, user_id, document, fingerprint FROM booking.outcomes
        """
    )
