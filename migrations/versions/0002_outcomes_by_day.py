"""Partitions the outcomes by the day of the command ID, and adds the table of solo attempts."""

from math import ceil

import sqlalchemy as sa
from alembic import op
from pydantic import BaseModel

from shared.environment import read_settings

revision = "0002"
down_revision = "0001"

DAY_SECONDS = 86_400
DAYS_AHEAD = 4


class Window(BaseModel):
    command_window_seconds: int = DAY_SECONDS


def upgrade() -> None:
    op.create_table(
        "trials",
        sa.Column("command_id", sa.Uuid, nullable=False),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("tried_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("command_id", name="trials_pkey"),
        schema="booking",
    )
    window = read_settings(Window).command_window_seconds
    kept_days = ceil(window / DAY_SECONDS) + 1
    for statement in (
        *MAKE_PARTITIONED_TABLE,
        FIRST_COMMAND_ID,
        MAKE_PARTITION,
        MAKE,
        DROP,
        *REVOKE_FROM_PUBLIC,
        ADOPT_OLD_TABLE.format(kept_days=kept_days, days_ahead=DAYS_AHEAD),
    ):
        op.get_bind().exec_driver_sql(statement)


MAKE_PARTITIONED_TABLE = (
    "LOCK TABLE booking.outcomes IN ACCESS EXCLUSIVE MODE",
    "ALTER TABLE booking.outcomes RENAME CONSTRAINT outcomes_pkey TO outcomes_before_pkey",
    "ALTER TABLE booking.outcomes RENAME TO outcomes_before",
    """
    CREATE TABLE booking.outcomes (
        LIKE booking.outcomes_before, CONSTRAINT outcomes_pkey PRIMARY KEY (command_id)
    ) PARTITION BY RANGE (command_id)
    """,
    # Replaced and not made anew, so that its privileges stay.
    """
    CREATE OR REPLACE VIEW read_model.outcomes AS
    SELECT command_id, user_id, document FROM booking.outcomes
    """,
)

# A UUIDv7 begins with the milliseconds since 1970.
FIRST_COMMAND_ID = """
    CREATE FUNCTION booking.first_command_id(day date) RETURNS uuid
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
        SELECT (lpad(to_hex((extract(epoch FROM day) * 1000)::bigint), 12, '0')
                || repeat('0', 20))::uuid
    $$
"""

# Made first and attached then: neither step waits for readers or writers of the outcomes, or blocks
# them.
MAKE_PARTITION = """
    CREATE FUNCTION booking.make_outcome_partition(day date) RETURNS void
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        name CONSTANT text := 'outcomes_' || to_char(day, 'YYYYMMDD');
    BEGIN
        EXECUTE format('CREATE TABLE booking.%I (LIKE booking.outcomes INCLUDING ALL)', name);
        EXECUTE format(
            'ALTER TABLE booking.outcomes ATTACH PARTITION booking.%I FOR VALUES FROM (%L) TO (%L)',
            name, booking.first_command_id(day), booking.first_command_id(day + 1));
    END
    $$
"""

# Never in the past, where it could replace a dropped partition, so that commands would be decided a
# second time. `until` depends on the caller's clock and is checked against this one.
MAKE = """
    CREATE FUNCTION booking.make_outcome_partitions(until date) RETURNS date
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        today CONSTANT date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
        most_days_ahead CONSTANT integer := 14;
        day date;
    BEGIN
        IF until > today + most_days_ahead THEN
            RAISE EXCEPTION 'no partition is made more than % days ahead', most_days_ahead
            USING ERRCODE = 'invalid_parameter_value';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('holdfast outcome partitions'));
        SELECT greatest(today, max(to_date(right(relname, 8), 'YYYYMMDD')) + 1) INTO day
        FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
        WHERE inhparent = 'booking.outcomes'::regclass;
        WHILE day <= until LOOP
            PERFORM booking.make_outcome_partition(day);
            day := day + 1;
        END LOOP;
        RETURN day;
    END
    $$
"""

# The lock that a drop needs is taken at once or not at all: readers and writers of outcomes would
# queue behind a session that waits for it.
DROP = """
    CREATE FUNCTION booking.drop_outcome_partitions(before date) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
    DECLARE
        today CONSTANT date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
        fewest_days_kept CONSTANT integer := 1;
        partition name;
        dropped integer := 0;
    BEGIN
        IF before > today - fewest_days_kept THEN
            RAISE EXCEPTION 'the outcomes of today and of % days before are kept', fewest_days_kept
            USING ERRCODE = 'invalid_parameter_value';
        END IF;
        FOR partition IN
            SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
            WHERE inhparent = 'booking.outcomes'::regclass
              AND to_date(right(relname, 8), 'YYYYMMDD') < before
        LOOP
            LOCK TABLE booking.outcomes IN ACCESS EXCLUSIVE MODE NOWAIT;
            EXECUTE format('DROP TABLE booking.%I', partition);
            dropped := dropped + 1;
        END LOOP;
        RETURN dropped;
    END
    $$
"""

REVOKE_FROM_PUBLIC = tuple(
    f"REVOKE ALL ON FUNCTION booking.{function}(date) FROM PUBLIC"
    for function in (
        "first_command_id",
        "make_outcome_partition",
        "make_outcome_partitions",
        "drop_outcome_partitions",
    )
)

# The existing table becomes one partition without a copy; it is named by its last day and dropped
# with that day. The days of the window have partitions from the start.
ADOPT_OLD_TABLE = """
    DO $$
    DECLARE
        today CONSTANT date := (clock_timestamp() AT TIME ZONE 'UTC')::date;
        first_day date := today - {kept_days};
        day date := today - {kept_days};
        oldest uuid;
        newest uuid;
        name text;
    BEGIN
        SELECT command_id INTO oldest FROM booking.outcomes_before ORDER BY command_id LIMIT 1;
        IF oldest IS NULL THEN
            DROP TABLE booking.outcomes_before;
        ELSE
            SELECT command_id INTO newest
            FROM booking.outcomes_before ORDER BY command_id DESC LIMIT 1;
            WHILE booking.first_command_id(first_day) > oldest LOOP
                first_day := first_day - 1;
            END LOOP;
            day := today + 1;
            WHILE booking.first_command_id(day) <= newest LOOP
                day := day + 1;
            END LOOP;
            name := 'outcomes_' || to_char(day - 1, 'YYYYMMDD');
            EXECUTE format('ALTER TABLE booking.outcomes_before RENAME TO %I', name);
            EXECUTE format('ALTER TABLE booking.%I RENAME CONSTRAINT outcomes_before_pkey TO %I',
                           name, name || '_pkey');
            EXECUTE format(
                'ALTER TABLE booking.outcomes ATTACH PARTITION booking.%I'
                ' FOR VALUES FROM (%L) TO (%L)',
                name, booking.first_command_id(first_day), booking.first_command_id(day));
        END IF;
        WHILE day < today LOOP
            PERFORM booking.make_outcome_partition(day);
            day := day + 1;
        END LOOP;
        PERFORM booking.make_outcome_partitions(today + {days_ahead});
    END
    $$
"""
