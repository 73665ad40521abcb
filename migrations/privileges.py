"""The database roles, one for each kind of process, and their rights.

They are applied after every migration instead of by one of them: roles belong to the server and not
to the database, so they may be made later, or be missing after a restore.
"""

import logging

from sqlalchemy import Connection, text

MIGRATOR = "holdfast_migrator"
"""Owns everything in deployments whose accounts `migrations.accounts` has made."""
WORKER = "holdfast_worker"
GATEWAY = "holdfast_gateway"
OPERATOR = "holdfast_operator"
"""Checks the books."""
ROLES = (MIGRATOR, WORKER, GATEWAY, OPERATOR)

READ_ONLY = {"default_transaction_read_only": "on"}
SETTINGS = {MIGRATOR: {"role": MIGRATOR}, GATEWAY: READ_ONLY, OPERATOR: READ_ONLY}
"""A server applies the settings of the account that logs in and not those of its roles, so each
account gets its role's settings. The migrator's `role` makes the role the owner of new objects."""

RIGHTS = {
    WORKER: {
        "SCHEMA booking": "USAGE",
        # A row lock needs the right to update some column. Users are locked and never changed, so
        # the right is for a column that no statement reads. No worker reads a password hash.
        "booking.users": "SELECT (id, email), INSERT, UPDATE (registered_at)",
        "booking.events": (
            "SELECT, INSERT, UPDATE (name, starts_at, ends_at, status, currency, payment_agent_id,"
            " orders_cancelled)"
        ),
        "booking.ticket_types": (
            "SELECT, INSERT, UPDATE (name, total, reserved, sold, sale_starts_at, sale_ends_at,"
            " unit_price, min_per_order, max_per_order, max_per_user)"
        ),
        "booking.carts": "SELECT, INSERT, UPDATE (status, expires_at), DELETE",
        "booking.cart_items": "SELECT, INSERT, UPDATE (quantity, expires_at), DELETE",
        "booking.orders": (
            "SELECT, INSERT, UPDATE (status, pay_by, held_until, paid, accepted, refunded, kept,"
            " tickets_value)"
        ),
        "booking.order_items": "SELECT, INSERT, UPDATE (held, held_until, released)",
        "booking.payments": "SELECT, INSERT",
        "booking.refunds": "SELECT, INSERT",
        "booking.outcomes": "SELECT, INSERT",
        # Work that needs more rights is done by functions of the owner, with guards of their own.
        "FUNCTION booking.make_outcome_partitions(date)": "EXECUTE",
        "FUNCTION booking.drop_outcome_partitions(date)": "EXECUTE",
    },
    GATEWAY: {
        "SCHEMA read_model": "USAGE",
        "ALL TABLES IN SCHEMA read_model": "SELECT",
    },
    OPERATOR: {
        "SCHEMA booking": "USAGE",
        "booking.users": "SELECT (id)",
        "booking.events": "SELECT",
        "booking.ticket_types": "SELECT",
        "booking.carts": "SELECT",
        "booking.cart_items": "SELECT",
        "booking.orders": "SELECT",
        "booking.order_items": "SELECT",
        "booking.payments": "SELECT",
        "booking.refunds": "SELECT",
        "booking.outcomes": "SELECT",
    },
}
"""Exactly the rights that the statements of each role need."""

_log = logging.getLogger(__name__)


def grant_rights(connection: Connection) -> None:
    """Give each role exactly its rights in this database.

    Logs a warning if roles are missing and may not be made: a system whose processes all log in as
    the owner works without them.
    """
    missing = create_roles(connection)
    if missing:
        _log.warning(
            "the roles %s do not exist, and %s may not create roles: no rights were granted to "
            "them. Have an administrator run `python -m migrations.accounts`, then migrate again.",
            ", ".join(missing),
            connection.scalar(text("SELECT current_user")),
        )
    connection.execute(text("REVOKE ALL ON ALL ROUTINES IN SCHEMA booking FROM PUBLIC"))
    for role, rights in RIGHTS.items():
        if role in missing:
            continue
        for objects in ALL_OBJECTS:
            connection.execute(text(f"REVOKE ALL ON {objects} FROM {role}"))
        for what, right in rights.items():
            connection.execute(text(f"GRANT {right} ON {what} TO {role}"))


def keep_rows_out_of_the_log(connection: Connection) -> None:
    """Have the server log errors without the row, which may contain an e-mail address.

    Only a superuser may set this; otherwise a warning names the statement to run.
    """
    if connection.scalar(text("SHOW log_error_verbosity")) == "terse":
        return
    database = connection.scalar(text("SELECT quote_ident(current_database())"))
    statement = f"ALTER DATABASE {database} SET log_error_verbosity = terse"
    if connection.scalar(IS_SUPERUSER):
        connection.execute(text(statement))
    else:
        _log.warning("errors in the server's log may quote rows. A superuser can %s", statement)


ALL_OBJECTS = (
    "SCHEMA booking, read_model",
    "ALL TABLES IN SCHEMA booking, read_model",
    "ALL ROUTINES IN SCHEMA booking, read_model",
)


IS_SUPERUSER = text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


def create_roles(connection: Connection) -> list[str]:
    """Make the missing roles; return those that this account may not make."""
    existing = set(connection.scalars(text("SELECT rolname FROM pg_roles")))
    missing = [role for role in ROLES if role not in existing]
    if missing and not connection.scalar(MAY_CREATE_ROLES):
        return missing
    for role in missing:
        connection.execute(text(_creation(role)))
    return []


MAY_CREATE_ROLES = text("""
    SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user
""")


def _creation(role: str) -> str:
    # Another database of the same server may be migrated at the same time.
    return f"""
        DO $$ BEGIN
            CREATE ROLE {role};
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
    """
