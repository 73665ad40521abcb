"""The pages of the demo provider: HTML without scripts, which loads its own style alone."""

from html import escape
from typing import Literal

from payments.engine import amount_due
from payments.minor_units import decimal
from shared.orders import Order

Action = Literal["pay", "fail", "pay_late", "pay_twice", "refund"]
Told = Literal[
    "paid",
    "failed",
    "late",
    "paid_twice",
    "refunded",
    "nothing_due",
    "refused",
    "too_many",
    "again",
    "unknown",
]

MESSAGES: dict[Told, str] = {
    "paid": "The payment is recorded.",
    "failed": "The payment failed. Nothing is recorded, and the order is as it was.",
    "late": "The payment will be recorded as soon as the order is no longer waiting for it.",
    "paid_twice": "Two payments of the same amount are recorded.",
    "refunded": "The refund is recorded.",
    "nothing_due": "Nothing is due.",
    "refused": "The engine refused it, for a reason that is in the log of this process.",
    "too_many": "Too many late payments are waiting already.",
    "again": "The engine did not answer in time. Try again: nothing is recorded twice.",
    "unknown": "That is no action of this page.",
}
LABELS: dict[Action, str] = {
    "pay": "Pay {amount}",
    "fail": "Fail to pay",
    "pay_late": "Pay {amount} after the order has expired",
    "pay_twice": "Pay {amount} twice",
    "refund": "Refund {refund}",
}
STATUSES = {
    "pending_payment": "waiting for payment",
    "paid": "paid",
    "cancelled": "cancelled",
    "expired": "expired",
}


def order_page(order: Order, told: Told | None, session_id: str, return_url: str) -> str:
    """Return the page that pays `order`; `session_id` names what its buttons do."""
    amount = _money(amount_due(order) or order.total, order.currency)
    refund = _money(order.refund_due, order.currency)
    items = "".join(f"<li>{item.quantity} x {escape(item.name)}</li>" for item in order.items)
    facts = {
        "Order": escape(order.id),
        "Status": STATUSES.get(order.status, escape(order.status)),
        "Total": _money(order.total, order.currency),
        "Paid": _money(order.paid, order.currency),
        "Due back": refund,
        "Pay by": f'<time datetime="{order.pay_by.isoformat()}">'
        f"{order.pay_by:%Y-%m-%d %H:%M:%S} UTC</time>",
    }
    rows = "".join(f"<dt>{name}</dt><dd>{value}</dd>" for name, value in facts.items())
    actions: list[Action] = ["pay", "pay_twice"] if order.total else []
    if order.status == "pending_payment":
        actions += ["pay_late", "fail"]
    if order.refund_due > 0:
        actions.append("refund")
    buttons = "".join(
        f'<button name="action" value="{action}">'
        f"{LABELS[action].format(amount=amount, refund=refund)}</button>"
        for action in actions
    )
    return _document(
        f"Pay {amount}",
        told,
        f"""<ul>{items}</ul>
<dl>{rows}</dl>
<form method="post" action="/payments/demo/{escape(order.id)}">
<input type="hidden" name="session" value="{escape(session_id)}">
{buttons}
</form>
<p><a href="{escape(return_url)}">Back to the shop</a></p>""",
    )


def not_found_page(told: Told | None) -> str:
    """Return the page for an order that is none, or that the engine does not tell us about."""
    told_or_missing = "" if told else "<p>There is no such order to pay here.</p>"
    return _document("No order", told, told_or_missing)


def _document(title: str, told: Told | None, content: str) -> str:
    message = f'<p role="status" class="told">{MESSAGES[told]}</p>' if told else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - demo payments</title>
<link rel="stylesheet" href="/payments/demo/style.css">
</head>
<body>
<main>
<p class="warning"><strong>This is a demo: no money moves.</strong> Anyone who has this link can
mark the order as paid.</p>
<h1>{title}</h1>
{message}
{content}
</main>
</body>
</html>
"""


def _money(amount: int, currency: str) -> str:
    return f"{escape(currency)} {decimal(amount, currency)}"
