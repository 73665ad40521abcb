"""Who may do what in the database: a role for each process, and the rights that it needs.

Applied after every migration, not once by one of them: roles belong to the server, not to the
database, so they may be made later, or be missing where a backup was restored.
"""

import logging

from sqlalchemy import Connection, text

MIGRATOR = "holdfast_migrator"
"""Owns everything, where `migrations.accounts` has made the accounts of a deployment."""
WORKER = "holdfast_worker"
GATEWAY = "holdfast_gateway"
OPERATOR = "holdfast_operator"
"""Who checks the books."""
ROLES = (MIGRATOR, WORKER, GATEWAY, OPERATOR)

READ_ONLY = {"default_transaction_read_only": "on"}
SETTINGS = {MIGRATOR: {"role": MIGRATOR}, GATEWAY: READ_ONLY, OPERATOR: READ_ONLY}
"""A server takes them from the account that logs in, not from the roles that it belongs to: each
account that is a member has them, too. What a migrator makes belongs to the role."""

RIGHTS = {
    WORKER: {
        "SCHEMA booking": "USAGE",
        # A row lock asks for the right to update some column. Users are locked and never changed:
        # theirs is one that nobody reads. Nor does a worker ever read a password hash.
        "booking.users": "SELECT (id, email), INSERT, UPDATE (registered_at)",
        "booking.events": "SELECT, INSERT, UPDATE (status)",
        "booking.ticket_types": (
            "SELECT, INSERT, UPDATE (name, total, reserved, sold, sale_starts_at, sale_ends_at)"
        ),
        "booking.carts": "SELECT, INSERT, UPDATE (status)",
        "booking.cart_items": "SELECT, INSERT, UPDATE (quantity), DELETE",
        "booking.outcomes": "SELECT, INSERT",
        "booking.trials": "SELECT, INSERT, UPDATE (tries, tried_at), DELETE",
        # What takes more than these rights, a function of the owner does within its own guards.
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
        "booking.outcomes": "SELECT",
    },
}
"""Exactly what the statements of each do; what is not named here is refused."""

_log = logging.getLogger(__name__)


def grant_rights(connection: Connection) -> None:
    """Give each role its rights in this database, and none beside them.

    Where roles are missing and may not be made, this says so: a system whose processes all log in
    as the owner works without.
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
        for everything in EVERYTHING:
            connection.execute(text(f"REVOKE ALL ON {everything} FROM {role}"))
        for what, right in rights.items():
            connection.execute(text(f"GRANT {right} ON {what} TO {role}"))


def keep_rows_out_of_the_log(connection: Connection) -> None:
    """Have the server log what failed, without the row: it would quote an e-mail address.

    Only a superuser may; where none is at hand and none was, this says so.
    """
    if connection.scalar(text("SHOW log_error_verbosity")) == "terse":
        return
    database = connection.scalar(text("SELECT quote_ident(current_database())"))
    statement = f"ALTER DATABASE {database} SET log_error_verbosity = terse"
    if connection.scalar(IS_SUPERUSER):
        connection.execute(text(statement))
    else:
        _log.warning("errors in the server's log may quote rows. A superuser can %s", statement)


EVERYTHING = (
    "SCHEMA booking, read_model",
    "ALL TABLES IN SCHEMA booking, read_model",
    "ALL ROUTINES IN SCHEMA booking, read_model",
)


IS_SUPERUSER = text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


def create_roles(connection: Connection) -> list[str]:
    """Make the roles that are missing; return those that may not be made."""
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
    # Another database of the server may be migrated at the same moment.
    return f"""
        DO $$ BEGIN
            CREATE ROLE {role};
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$
    """
