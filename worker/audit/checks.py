"""The rules of the books, each with a statement that finds its violations."""

from worker.audit.check import OVERDUE_SECONDS, Check
from worker.audit.order_checks import ORDER_CHECKS

# What holds tickets that are not sold: carts and orders.
_HELD = """
    SELECT ticket_type_id, sum(quantity)::bigint AS quantity
    FROM (
        SELECT line.ticket_type_id, line.quantity
        FROM booking.carts AS cart
        JOIN booking.cart_items AS line ON line.cart_id = cart.id
        WHERE cart.status = 'active'
        UNION ALL
        SELECT item.ticket_type_id, item.held
        FROM booking.orders AS purchase
        JOIN booking.order_items AS item ON item.order_id = purchase.id
        WHERE purchase.status = 'pending_payment'
    ) AS hold
    GROUP BY ticket_type_id
"""

CHECKS = (
    Check(
        "out_of_bounds",
        "no ticket type holds or has sold more than there is, or less than nothing",
        """
        SELECT id::text AS subject, format('%s reserved and %s sold of %s', reserved, sold, total)
               AS detail
        FROM booking.ticket_types
        WHERE reserved < 0 OR sold < 0 OR reserved + sold > total
        """,
    ),
    Check(
        "drift",
        "what a ticket type has reserved lies in active carts and pending orders",
        f"""
        SELECT ticket_type.id::text AS subject,
               format('%s reserved, %s in active carts and pending orders', reserved,
                      coalesce(held.quantity, 0)) AS detail
        FROM booking.ticket_types AS ticket_type
        LEFT JOIN ({_HELD}) AS held ON held.ticket_type_id = ticket_type.id
        WHERE reserved <> coalesce(held.quantity, 0)
        """,
    ),
    Check(
        "overdue_cart",
        f"no cart is active and expired for more than {OVERDUE_SECONDS} s",
        f"""
        SELECT id::text AS subject, format('expired at %s', expires_at) AS detail
        FROM booking.carts
        WHERE status = 'active'
          AND expires_at < statement_timestamp() - interval '{OVERDUE_SECONDS} s'
        """,
    ),
    Check(
        "several_active_carts",
        "a user has one active cart",
        """
        SELECT user_id::text AS subject, format('%s active carts', count(*)) AS detail
        FROM booking.carts WHERE status = 'active' GROUP BY user_id HAVING count(*) > 1
        """,
    ),
    Check(
        "empty_active_cart",
        "an active cart holds something",
        """
        SELECT cart.id::text AS subject, 'without a line' AS detail
        FROM booking.carts AS cart
        WHERE status = 'active'
          AND NOT EXISTS (SELECT FROM booking.cart_items WHERE cart_id = cart.id)
        """,
    ),
    Check(
        "line_without_cart",
        "a line belongs to a cart",
        """
        SELECT cart_id::text AS subject, format('a line of %s', ticket_type_id) AS detail
        FROM booking.cart_items AS line
        WHERE NOT EXISTS (SELECT FROM booking.carts WHERE id = line.cart_id)
        """,
    ),
    Check(
        "line_of_closed_cart",
        "a closed cart has no lines",
        """
        SELECT cart.id::text AS subject, format('a line of %s', line.ticket_type_id) AS detail
        FROM booking.cart_items AS line JOIN booking.carts AS cart ON cart.id = line.cart_id
        WHERE cart.status <> 'active'
        """,
    ),
    Check(
        "line_that_expires_apart",
        "a line expires with its cart",
        """
        SELECT cart.id::text AS subject,
               format('at %s, a line of %s at %s', cart.expires_at, line.ticket_type_id,
                      line.expires_at) AS detail
        FROM booking.cart_items AS line JOIN booking.carts AS cart ON cart.id = line.cart_id
        WHERE cart.status = 'active' AND line.expires_at <> cart.expires_at
        """,
    ),
    Check(
        "cart_without_outcome",
        "an active cart bears the ID of a command that succeeded",
        """
        SELECT cart.id::text AS subject,
               coalesce('its command was refused', 'its command has no outcome') AS detail
        FROM booking.carts AS cart
        LEFT JOIN booking.outcomes AS outcome ON outcome.command_id = cart.id
        WHERE cart.status = 'active'
          AND (outcome.document IS NULL
               OR outcome.document NOT LIKE '%"status":"succeeded"%')
        """,
    ),
    *ORDER_CHECKS,
)

DRIFT = f"""
    SELECT ticket_type.id::text, reserved - coalesce(held.quantity, 0) AS drift
    FROM booking.ticket_types AS ticket_type
    LEFT JOIN ({_HELD}) AS held ON held.ticket_type_id = ticket_type.id
    WHERE reserved <> coalesce(held.quantity, 0)
"""
