"""The rules of orders and their money."""

from shared.orders import MAX_OPEN_ORDERS
from worker.audit.check import OVERDUE_SECONDS, Check

ORDER_CHECKS = (
    Check(
        "sold_drift",
        "what a ticket type has sold, paid orders have",
        """
        SELECT ticket_type.id::text AS subject,
               format('%s sold, %s in paid orders', sold, coalesce(held.quantity, 0)) AS detail
        FROM booking.ticket_types AS ticket_type
        LEFT JOIN (
            SELECT item.ticket_type_id, sum(item.held) AS quantity
            FROM booking.orders AS purchase
            JOIN booking.order_items AS item ON item.order_id = purchase.id
            WHERE purchase.status = 'paid'
            GROUP BY item.ticket_type_id
        ) AS held ON held.ticket_type_id = ticket_type.id
        WHERE sold <> coalesce(held.quantity, 0)
        """,
    ),
    Check(
        "unpaid_order",
        "the accepted payments of a paid order reach its total",
        """
        SELECT purchase.id::text AS subject,
               format('accepted %s of %s', coalesce(sum(payment.amount), 0), total) AS detail
        FROM booking.orders AS purchase
        LEFT JOIN booking.payments AS payment
            ON payment.order_id = purchase.id AND payment.disposition = 'accepted'
        WHERE purchase.status = 'paid'
        GROUP BY purchase.id
        HAVING coalesce(sum(payment.amount), 0) < total
        """,
    ),
    Check(
        "order_without_tickets",
        "an order has its tickets while it is pending or paid, and none afterwards",
        """
        SELECT purchase.id::text AS subject, format('%s with %s of %s tickets, %s released',
               purchase.status, coalesce(sum(item.held), 0), coalesce(sum(item.quantity), 0),
               coalesce(sum(item.released), 0)) AS detail
        FROM booking.orders AS purchase
        LEFT JOIN booking.order_items AS item ON item.order_id = purchase.id
        GROUP BY purchase.id
        HAVING CASE purchase.status
            WHEN 'paid' THEN coalesce(sum(item.held), 0) = 0
                OR bool_or(item.held + item.released <> item.quantity)
            WHEN 'pending_payment' THEN coalesce(bool_or(item.held <> item.quantity), true)
            ELSE coalesce(bool_or(item.held <> 0), true)
        END
        """,
    ),
    Check(
        "overdue_order",
        f"no order is pending more than {OVERDUE_SECONDS} s after its hold is over",
        f"""
        SELECT id::text AS subject, format('held until %s', held_until) AS detail
        FROM booking.orders
        WHERE held_until < statement_timestamp() - interval '{OVERDUE_SECONDS} s'
        """,
    ),
    Check(
        "item_that_expires_apart",
        "what an order has expires with it",
        """
        SELECT purchase.id::text AS subject,
               format('%s, an item of %s %s', purchase.held_until, item.ticket_type_id,
                      item.held_until) AS detail
        FROM booking.order_items AS item JOIN booking.orders AS purchase ON purchase.id = order_id
        WHERE purchase.held_until IS DISTINCT FROM item.held_until
        """,
    ),
    Check(
        "order_sums",
        "the sums of an order are those of its items, payments and refunds",
        """
        SELECT purchase.id::text AS subject,
               format('total %s, paid %s, accepted %s, refunded %s, tickets %s',
                      purchase.total, paid, purchase.accepted, refunded, tickets_value) AS detail
        FROM booking.orders AS purchase
        LEFT JOIN (
            SELECT order_id, sum(quantity::bigint * unit_price) AS total,
                   sum(held::bigint * unit_price) AS held
            FROM booking.order_items GROUP BY order_id
        ) AS item ON item.order_id = purchase.id
        LEFT JOIN (
            SELECT order_id, sum(amount) AS amount,
                   coalesce(sum(amount) FILTER (WHERE disposition = 'accepted'), 0) AS accepted
            FROM booking.payments GROUP BY order_id
        ) AS payment ON payment.order_id = purchase.id
        LEFT JOIN (
            SELECT order_id, sum(amount) AS amount FROM booking.refunds GROUP BY order_id
        ) AS refund ON refund.order_id = purchase.id
        WHERE purchase.total <> coalesce(item.total, 0)
           OR tickets_value <> CASE purchase.status
                  WHEN 'paid' THEN coalesce(item.held, 0) ELSE 0 END
           OR paid <> coalesce(payment.amount, 0)
           OR purchase.accepted <> coalesce(payment.accepted, 0)
           OR refunded <> coalesce(refund.amount, 0)
        """,
    ),
    Check(
        "too_many_open_orders",
        f"a user has at most {MAX_OPEN_ORDERS} pending orders of an event",
        f"""
        SELECT user_id::text AS subject, format('%s of event %s', count(*), event_id) AS detail
        FROM booking.orders WHERE status = 'pending_payment'
        GROUP BY user_id, event_id HAVING count(*) > {MAX_OPEN_ORDERS}
        """,
    ),
    Check(
        "order_of_cancelled_event",
        "an event whose orders are all cancelled has no other",
        """
        SELECT purchase.id::text AS subject,
               format('%s, of event %s', purchase.status, event.id) AS detail
        FROM booking.events AS event
        JOIN booking.orders AS purchase ON purchase.event_id = event.id
        WHERE event.orders_cancelled AND purchase.status IN ('pending_payment', 'paid')
        """,
    ),
    Check(
        "money_due_back",
        "what is due back is refunded",
        """
        SELECT purchase.id::text AS subject,
               format('%s %s due back, of what was paid %s ago',
                      paid - refunded - kept - tickets_value, currency,
                      date_trunc('second', statement_timestamp() - payment.at)) AS detail
        FROM booking.orders AS purchase
        JOIN LATERAL (
            SELECT max(recorded_at) AS at FROM booking.payments WHERE order_id = purchase.id
        ) AS payment ON true
        WHERE paid - refunded - kept - tickets_value > 0
        """,
        is_warning=True,
    ),
)
