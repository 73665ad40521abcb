"""The statements that lock, read and save a book. Each takes arrays: one entry a row."""

from sqlalchemy import text

LOCK_USERS = text("""
    SELECT id::text FROM booking.users
    WHERE id = ANY (ARRAY(
        SELECT unnest(CAST(:user_ids AS uuid[]))
        UNION
        (SELECT cart.user_id
         FROM booking.carts AS cart
         WHERE cart.status = 'active' AND cart.expires_at <= statement_timestamp()
           AND cart.user_id <> ALL (CAST(:user_ids AS uuid[]))
           AND EXISTS (
               SELECT FROM booking.cart_items AS line
               WHERE line.cart_id = cart.id
                 AND line.ticket_type_id = ANY (CAST(:wanted AS uuid[])))
         LIMIT :limit)
    ))
    ORDER BY users.id
    FOR NO KEY UPDATE
""")

# A look-up for each user, whatever the planner knows of the table: before the first ANALYZE it
# would rather read all active carts through the index of their expiry.
READ_CARTS = text("""
    SELECT cart.id::text, cart.user_id::text, cart.expires_at, line.ticket_type_id::text,
           line.quantity
    FROM unnest(CAST(:user_ids AS uuid[])) AS holder (id)
    CROSS JOIN LATERAL (
        SELECT * FROM booking.carts
        WHERE carts.user_id = holder.id AND carts.status = 'active'
        LIMIT 1
    ) AS cart
    JOIN booking.cart_items AS line ON line.cart_id = cart.id
""")

# The bounds say nothing new, but they are what Postgres picks the partitions by; else it looks for
# each ID in each of them.
RECALL = text("""
    SELECT command_id::text, fingerprint, document FROM booking.outcomes
    WHERE command_id = ANY (CAST(:ids AS uuid[]))
      AND command_id BETWEEN CAST(:lowest AS uuid) AND CAST(:highest AS uuid)
""")

READ_EMAILS = text("""
    SELECT lower(email) FROM booking.users
    WHERE lower(email) = ANY (CAST(:emails AS text[]))
""")

LOCK_EVENTS = text("""
    SELECT FROM booking.events
    WHERE id = ANY (CAST(:ids AS uuid[]))
    ORDER BY id
    FOR NO KEY UPDATE
""")

TICKET_TYPES_OF_EVENTS = text("""
    SELECT id::text FROM booking.ticket_types WHERE event_id = ANY (CAST(:event_ids AS uuid[]))
""")

LOCK_TICKET_TYPES = text("""
    SELECT id::text, event_id::text, name, total, reserved, sold, sale_starts_at, sale_ends_at
    FROM booking.ticket_types
    WHERE id = ANY (CAST(:ids AS uuid[]))
    ORDER BY ticket_types.id
    FOR NO KEY UPDATE
""")

# now() is when the transaction began, and so after all of its commands had come.
READ_EVENTS = text("""
    SELECT clock_timestamp(),
           EXISTS (
               SELECT FROM booking.carts AS cart
               JOIN booking.cart_items AS line ON line.cart_id = cart.id
               WHERE cart.status = 'active' AND cart.expires_at <= now()
                 AND cart.user_id <> ALL (CAST(:locked_users AS uuid[]))
                 AND line.ticket_type_id = ANY (CAST(:wanted AS uuid[]))),
           event.id::text, event.organizer_id::text, event.name,
           event.starts_at, event.ends_at, event.status
    FROM (VALUES (1)) AS clock
    LEFT JOIN booking.events AS event ON event.id = ANY (CAST(:ids AS uuid[]))
""")

INSERT_USERS = text("""
    INSERT INTO booking.users (id, email, password_hash, registered_at)
    SELECT id, email, password_hash, now()
    FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS text[]), CAST(:c2 AS text[]))
         AS new (id, email, password_hash)
""")

INSERT_EVENTS = text("""
    INSERT INTO booking.events (id, organizer_id, name, starts_at, ends_at, status)
    SELECT * FROM unnest(
        CAST(:c0 AS uuid[]), CAST(:c1 AS uuid[]), CAST(:c2 AS text[]),
        CAST(:c3 AS timestamptz[]), CAST(:c4 AS timestamptz[]), CAST(:c5 AS text[]))
""")

UPDATE_EVENTS = text("""
    UPDATE booking.events AS event SET status = changed.status
    FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS text[])) AS changed (id, status)
    WHERE event.id = changed.id
""")

TICKET_TYPE_COLUMNS = """
    unnest(
        CAST(:c0 AS uuid[]), CAST(:c1 AS uuid[]), CAST(:c2 AS text[]),
        CAST(:c3 AS integer[]), CAST(:c4 AS integer[]), CAST(:c5 AS integer[]),
        CAST(:c6 AS timestamptz[]), CAST(:c7 AS timestamptz[]))
    AS changed (id, event_id, name, total, reserved, sold, sale_starts_at, sale_ends_at)
"""

INSERT_TICKET_TYPES = text(f"""
    INSERT INTO booking.ticket_types
        (id, event_id, name, total, reserved, sold, sale_starts_at, sale_ends_at)
    SELECT * FROM {TICKET_TYPE_COLUMNS}
""")

CLOSE_CARTS = text("""
    UPDATE booking.carts AS cart SET status = closed.status
    FROM unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS text[])) AS closed (id, status)
    WHERE cart.id = closed.id
""")

DROP_LINES = text("""
    DELETE FROM booking.cart_items AS line
    USING unnest(CAST(:c0 AS uuid[]), CAST(:c1 AS uuid[])) AS dropped (cart_id, ticket_type_id)
    WHERE line.cart_id = dropped.cart_id AND line.ticket_type_id = dropped.ticket_type_id
""")

# What every batch of reservations writes, in one round trip.
SAVE_HOLDS_AND_OUTCOMES = text(f"""
    WITH changed_ticket_types AS (
        UPDATE booking.ticket_types AS ticket_type
        SET name = changed.name, total = changed.total, reserved = changed.reserved,
            sold = changed.sold, sale_starts_at = changed.sale_starts_at,
            sale_ends_at = changed.sale_ends_at
        FROM {TICKET_TYPE_COLUMNS}
        WHERE ticket_type.id = changed.id
    ), opened_carts AS (
        INSERT INTO booking.carts (id, user_id, status, expires_at)
        SELECT * FROM unnest(
            CAST(:cart0 AS uuid[]), CAST(:cart1 AS uuid[]), CAST(:cart2 AS text[]),
            CAST(:cart3 AS timestamptz[]))
    ), put_lines AS (
        INSERT INTO booking.cart_items (cart_id, ticket_type_id, quantity)
        SELECT * FROM unnest(
            CAST(:line0 AS uuid[]), CAST(:line1 AS uuid[]), CAST(:line2 AS integer[]))
        ON CONFLICT (cart_id, ticket_type_id) DO UPDATE SET quantity = excluded.quantity
    )
    INSERT INTO booking.outcomes (command_id, user_id, fingerprint, document, decided_at)
    SELECT * FROM unnest(
        CAST(:outcome0 AS uuid[]), CAST(:outcome1 AS uuid[]), CAST(:outcome2 AS bytea[]),
        CAST(:outcome3 AS text[]), CAST(:outcome4 AS timestamptz[]))
""")
