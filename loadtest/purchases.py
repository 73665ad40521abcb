"""Draws what follows a granted reservation: its buyer checks out, and the order is paid."""

import json
import random
from collections import deque
from typing import Any

from loadtest.fixtures import Fixtures
from loadtest.measure.sales import Sales
from loadtest.workload import CommandIds, Request, Reservation, Workload


class CheckOut(Request):
    """A buyer orders what the cart holds."""

    __slots__ = ()


class Payment(Request):
    """The payment agent records a payment of the whole total.

    A payment that is told again has the same payment ID and another command ID.
    """

    __slots__ = ("amount", "currency", "is_told_again", "order_id", "payment_id")

    def __init__(
        self, command_id: str, buyer: int, order: dict[str, Any], *, told_before: "Payment | None"
    ) -> None:
        super().__init__(command_id, buyer)
        self.order_id: str = order["id"]
        self.amount: int = order["total"]
        self.currency: str = order["currency"]
        self.is_told_again = told_before is not None
        self.payment_id: str = told_before.payment_id if told_before else f"load-{command_id}"


Purchase = CheckOut | Payment


class Purchases:
    """Decides by chance what follows a command, and counts the sales."""

    def __init__(self, workload: Workload, fixtures: Fixtures, sales: Sales) -> None:
        self.is_on = workload.check_out > 0
        self._workload = workload
        self._event_id = fixtures.event_id
        self._sales = sales
        self._ids = CommandIds()
        self._due: deque[Purchase] = deque()

    def after(self, request: Request, result: dict[str, Any]) -> Purchase | None:
        """Count the result of a command that succeeded; return the command that follows it."""
        share = random.random()
        (command_id,) = self._ids.take(1)
        if isinstance(request, Reservation):
            if share < self._workload.check_out:
                return CheckOut(command_id, request.buyer)
        elif isinstance(request, CheckOut):
            order = result["order"]
            self._sales.enter_order(order)
            if share < self._workload.pay and order["status"] == "pending_payment":
                return Payment(command_id, request.buyer, order, told_before=None)
        elif isinstance(request, Payment) and not request.is_told_again:
            order, payment = result["order"], result["payment"]
            self._sales.enter_payment(order, request.amount, payment["disposition"])
            if share < self._workload.repeats:
                return Payment(command_id, request.buyer, order, told_before=request)
        return None

    def put(self, purchase: Purchase | None) -> None:
        """Let `take` return a command, if there is one."""
        if purchase is not None:
            self._due.append(purchase)

    def take(self, count: int) -> list[Purchase]:
        """Return up to so many commands that are due, the oldest first."""
        return [self._due.popleft() for _ in range(min(count, len(self._due)))]

    def path(self, purchase: Purchase) -> str:
        """Return the path of a command over HTTP."""
        if isinstance(purchase, Payment):
            return f"/v1/orders/{purchase.order_id}/payments"
        return "/v1/orders"

    def body(self, purchase: Purchase) -> dict[str, Any]:
        """Return the body of a command over HTTP."""
        if isinstance(purchase, Payment):
            return {
                "payment_id": purchase.payment_id,
                "amount": purchase.amount,
                "currency": purchase.currency,
            }
        return {"event_id": self._event_id}

    def command(self, purchase: Purchase, user_id: str, now: str) -> str:
        """Return a command in the form of the queue."""
        is_payment = isinstance(purchase, Payment)
        fields = {
            "kind": "record_payment" if is_payment else "check_out",
            "command_id": purchase.command_id,
            "user_id": user_id,
            "submitted_at": now,
        } | self.body(purchase)
        if isinstance(purchase, Payment):
            fields["order_id"] = purchase.order_id
        return json.dumps(fields)
