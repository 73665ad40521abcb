"""Bugs in the rules of orders and money."""

from reliability.mutants.bugs.suites import LIMITS, LOCKS, ORDERING, PAYMENTS
from reliability.mutants.mutant import Mutant

CART = "worker/domain/cart.py"
LEDGER = "worker/domain/ledger.py"
LOCK_REQUEST = "worker/domain/locks.py"
ORDER = "worker/domain/order.py"
ORDER_RULES = "worker/domain/ordering.py"
PAYMENT_RULES = "worker/domain/payments.py"

MUTANTS = (
    Mutant(
        "expired_order_still_blocks",
        "the tickets of an order that was not paid are never sold",
        LEDGER,
        """        for item in order.items.values():
            book.move(item.ticket_type_id, reserved=-item.held)
            _hold(book, item, 0)
        order.status = "expired"
""",
        """        for item in order.items.values():
            _hold(book, item, 0)
        order.status = "expired"
""",
        (ORDERING, PAYMENTS),
    ),
    Mutant(
        "order_expires_at_pay_by",
        "a payment that is told late finds its order expired",
        LEDGER,
        "    held_until = pay_by + book.rules.payment_grace\n",
        "    held_until = pay_by\n",
        (ORDERING, PAYMENTS),
    ),
    Mutant(
        "extended_without_grace",
        "a payment that is told late finds its extended order expired",
        LEDGER,
        "    order.held_until = pay_by + book.rules.payment_grace\n",
        "    order.held_until = pay_by\n",
        (ORDERING,),
    ),
    Mutant(
        "price_at_payment",
        "a buyer whose tickets have become dearer owes more than the order says",
        LEDGER,
        "    order.tickets_value = order.total\n",
        """    order.tickets_value = sum(
        book.ticket_types[id].unit_price * item.held for id, item in order.items.items()
    )
""",
        (PAYMENTS,),
    ),
    Mutant(
        "items_stay_due",
        "every buyer looks at the tickets of all orders that were ever pending",
        LEDGER,
        """    order.held_until = None
    for item in order.items.values():
        item.held_until = None
""",
        "    order.held_until = None\n",
        (PAYMENTS,),
    ),
    Mutant(
        "surplus_lost",
        "money for a cancelled order is not due back",
        LEDGER,
        "    order.paid += amount\n    if reason is None:\n",
        "    if reason is None:\n        order.paid += amount\n",
        (PAYMENTS,),
    ),
    Mutant(
        "order_paid_without_its_tickets",
        "a late payment is accepted and the buyer has no tickets",
        LEDGER,
        """            _hold(book, item, item.quantity)
            book.move(item.ticket_type_id, sold=item.held)
""",
        """            pass
""",
        (PAYMENTS,),
    ),
    Mutant(
        "released_tickets_not_on_sale_again",
        "returned tickets are lost to the sale",
        LEDGER,
        "        book.move(ticket_type_id, sold=-quantity)\n",
        "",
        (ORDERING,),
    ),
    Mutant(
        "orders_of_a_cancelled_event_left",
        "buyers of a cancelled event get no money back",
        LEDGER,
        """        if order.status in ("pending_payment", "paid"):
            cancel(book, order)
""",
        """        if order.status == "pending_payment":
            cancel(book, order)
""",
        (ORDERING, PAYMENTS),
    ),
    Mutant(
        "ended_order_counts_as_open",
        "a buyer who paid five orders cannot order a sixth",
        LEDGER,
        "    book.open_orders[order.user_id, order.event_id] -= 1\n",
        "",
        (ORDERING,),
    ),
    Mutant(
        "open_orders_not_counted",
        "one buyer holds any number of tickets in pending orders",
        ORDER_RULES,
        "    if book.open_orders[command.user_id, event.id] >= MAX_OPEN_ORDERS:\n",
        "    if book.open_orders[command.user_id, event.id] > MAX_OPEN_ORDERS:\n",
        (ORDERING,),
    ),
    Mutant(
        "expected_total_ignored",
        "a buyer pays another price than was shown",
        ORDER_RULES,
        "    if command.expected_total is not None and command.expected_total != total:\n",
        "    if command.expected_total is not None and command.expected_total < 0:\n",
        (ORDERING,),
    ),
    Mutant(
        "kept_more_than_was_paid",
        "an organizer keeps more than the buyer paid",
        ORDER_RULES,
        "    due = order.refund_due + order.tickets_value\n    if keep_amount > due:\n",
        "    due = order.refund_due + order.total\n    if keep_amount > due:\n",
        (ORDERING,),
    ),
    Mutant(
        "buyer_cancels_a_paid_order",
        "a buyer returns tickets that the organizer does not take back",
        ORDER_RULES,
        'if is_organizer else ("pending_payment",)\n',
        'if is_organizer else ("pending_payment", "paid")\n',
        (ORDERING,),
    ),
    Mutant(
        "payment_refused",
        "a payment for a paid order is taken and not recorded",
        PAYMENT_RULES,
        "    reason = _why_surplus(book, order, command.amount)\n",
        """    reason = _why_surplus(book, order, command.amount)
    if reason == "already_paid":
        return OrderFull(MAX_PAYMENTS)
""",
        (PAYMENTS,),
    ),
    Mutant(
        "payment_id_not_remembered",
        "a payment that the provider tells twice counts twice",
        PAYMENT_RULES,
        "    if known := book.payments.get((order.event_id, command.payment_id)):\n",
        "    if known := book.payments.get((order.id, command.payment_id)):\n",
        (PAYMENTS,),
    ),
    Mutant(
        "currency_not_compared",
        "yen buy tickets that cost euros",
        PAYMENT_RULES,
        "    if command.currency != order.currency:\n",
        "    if not command.currency:\n",
        (PAYMENTS,),
    ),
    Mutant(
        "refund_beyond_due_accepted",
        "more money is paid back than is due",
        PAYMENT_RULES,
        "    if command.amount > order.refund_due:\n",
        "    if command.amount > order.paid:\n",
        (PAYMENTS,),
    ),
    Mutant(
        "late_payment_oversells",
        "a late payment buys tickets that others hold",
        PAYMENT_RULES,
        "        if item.quantity > ticket_type.available:\n",
        "        if item.quantity > ticket_type.total:\n",
        (PAYMENTS,),
    ),
    Mutant(
        "refunded_money_pays",
        "money that was paid back buys tickets",
        ORDER,
        "        accepted_left = min(self.accepted, self.paid - self.refunded - self.kept)\n",
        "        accepted_left = self.accepted\n",
        (PAYMENTS,),
    ),
    Mutant(
        "limit_counted_without_orders",
        "a buyer checks out and reserves beyond the limit again",
        CART,
        "        would_have = requested + book.ordered[user_id, ticket_type_id]\n",
        "        would_have = requested\n",
        (LIMITS,),
    ),
    Mutant(
        "limit_counted_without_the_cart",
        "a late payment lifts a buyer above the limit",
        PAYMENT_RULES,
        "        would_have = in_cart + book.ordered[order.user_id, id] + item.quantity\n",
        "        would_have = book.ordered[order.user_id, id] + item.quantity\n",
        (PAYMENTS,),
    ),
    Mutant(
        "sender_locked_beside_the_buyer",
        "all payments of an event wait for the row of their agent",
        LOCK_REQUEST,
        "        self.sender_ids.add(command.user_id)\n",
        "        self.user_ids.add(command.user_id)\n",
        (LOCKS,),
    ),
)
