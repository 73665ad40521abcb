"""The statements that read and save the orders of a book. Each takes arrays: one entry a row.

No batch sends them that names no order, checks nothing out, and finds no due order in its way.
"""

from worker.domain.order import Order, OrderItem, Payment, Refund
from worker.storage import tables
from worker.storage.columns import Columns

ORDERS = Columns(tables.orders, Order)
ORDER_ITEMS = Columns(tables.order_items, OrderItem)
PAYMENTS = Columns(tables.payments, Payment)
REFUNDS = Columns(tables.refunds, Refund)

# $1: the orders that are named. $2: users that must exist. The buyers of the orders, whom the batch
# locks next; of an order that is not held, also the ticket types that a late payment may buy.
LOOK_UP_BUYERS = """
    SELECT purchase.id::text, purchase.user_id::text,
           CASE WHEN purchase.status = 'expired'
                  OR purchase.status = 'pending_payment'
                     AND purchase.held_until <= statement_timestamp()
           THEN ARRAY(SELECT item.ticket_type_id::text FROM booking.order_items AS item
                      WHERE item.order_id = purchase.id)
           ELSE ARRAY[]::text[] END
    FROM booking.orders AS purchase
    WHERE purchase.id = ANY ($1::uuid[])
    UNION ALL
    SELECT NULL, users.id::text, ARRAY[]::text[]
    FROM booking.users
    WHERE users.id = ANY ($2::uuid[])
"""

# $1: the locked users, who guard these orders. $2: orders that are named. $3: ticket types that are
# wanted: due orders that hold them, up to $6 for each. $4 and $5: users that check out, and the
# event of each: their pending orders.
READ_ORDERS = f"""
    SELECT {ORDERS.select("purchase")}
    FROM (
        SELECT unnest($2::uuid[]) AS id
        UNION
        SELECT due.order_id
        FROM unnest($3::uuid[]) AS wanted (id)
        CROSS JOIN LATERAL (
            SELECT order_id FROM booking.order_items
            WHERE ticket_type_id = wanted.id AND held_until <= statement_timestamp()
              AND user_id = ANY ($1::uuid[])
            ORDER BY held_until
            LIMIT $6
        ) AS due
        UNION
        SELECT pending.id
        FROM unnest($4::uuid[], $5::uuid[]) AS buyer (user_id, event_id)
        CROSS JOIN LATERAL (
            SELECT id FROM booking.orders
            WHERE orders.user_id = buyer.user_id AND orders.event_id = buyer.event_id
              AND orders.status = 'pending_payment'
            LIMIT 100
        ) AS pending
    ) AS wanted
    CROSS JOIN LATERAL (
        SELECT * FROM booking.orders WHERE orders.id = wanted.id LIMIT 1
    ) AS purchase
    WHERE purchase.user_id = ANY ($1::uuid[])
"""

READ_ORDER_ITEMS = f"""
    SELECT {ORDER_ITEMS.select("item")}
    FROM booking.order_items AS item
    WHERE item.order_id = ANY ($1::uuid[])
"""

# $1: the orders. $2 and $3: the events and the payment IDs that are to be recorded: an event has
# each ID once.
READ_PAYMENTS = f"""
    SELECT {PAYMENTS.select("payment")}
    FROM unnest($1::uuid[]) AS purchase (id)
    CROSS JOIN LATERAL (
        SELECT * FROM booking.payments WHERE payments.order_id = purchase.id ORDER BY number
    ) AS payment
    UNION
    SELECT {PAYMENTS.select("payment")}
    FROM unnest($2::uuid[], $3::text[]) AS named (event_id, payment_id)
    CROSS JOIN LATERAL (
        SELECT * FROM booking.payments
        WHERE payments.event_id = named.event_id AND payments.payment_id = named.payment_id
        LIMIT 1
    ) AS payment
    ORDER BY number
"""

# The parameters are those of READ_PAYMENTS.
READ_REFUNDS = f"""
    SELECT {REFUNDS.select("refund")}
    FROM unnest($1::uuid[]) AS purchase (id)
    CROSS JOIN LATERAL (
        SELECT * FROM booking.refunds WHERE refunds.order_id = purchase.id ORDER BY number
    ) AS refund
    UNION
    SELECT {REFUNDS.select("refund")}
    FROM unnest($2::uuid[], $3::text[]) AS named (event_id, refund_id)
    CROSS JOIN LATERAL (
        SELECT * FROM booking.refunds
        WHERE refunds.event_id = named.event_id AND refunds.refund_id = named.refund_id
        LIMIT 1
    ) AS refund
    ORDER BY number
"""

# $1: users. $2: for each, a ticket type with a limit for each user.
READ_ORDERED = """
    SELECT buyer.user_id::text, buyer.ticket_type_id::text, held.quantity
    FROM unnest($1::uuid[], $2::uuid[]) AS buyer (user_id, ticket_type_id)
    CROSS JOIN LATERAL (
        SELECT sum(item.held)::bigint AS quantity FROM booking.order_items AS item
        WHERE item.user_id = buyer.user_id AND item.ticket_type_id = buyer.ticket_type_id
          AND item.held > 0
    ) AS held
    WHERE held.quantity IS NOT NULL
"""

# Whatever the planner knows of the tables, ON CONFLICT finds each row by its key.
PUT_ORDERS = f"""
    {ORDERS.insert()}
    ON CONFLICT (id) DO UPDATE SET
        status = excluded.status, pay_by = excluded.pay_by, held_until = excluded.held_until,
        paid = excluded.paid, accepted = excluded.accepted, refunded = excluded.refunded,
        kept = excluded.kept, tickets_value = excluded.tickets_value
"""
PUT_ORDER_ITEMS = f"""
    {ORDER_ITEMS.insert()}
    ON CONFLICT (order_id, ticket_type_id) DO UPDATE SET
        held = excluded.held, held_until = excluded.held_until, released = excluded.released
"""
INSERT_PAYMENTS = PAYMENTS.insert()
INSERT_REFUNDS = REFUNDS.insert()
