"""Counts orders and money: one instance by the responses of a run, one by what is recorded."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Sales:
    """All amounts are in minor units of the event's currency."""

    orders: int = 0
    ordered_amount: int = 0
    """The sum of the orders' totals."""
    payments: int = 0
    """Different payments; one that is told again counts once."""
    paid_amount: int = 0
    accepted_amount: int = 0
    """The part of `paid_amount` that is not surplus."""
    paid_orders: int = 0
    sold: Counter[str] = field(default_factory=Counter)
    """Tickets of paid orders, by ticket type ID."""

    def enter_order(self, order: dict[str, Any]) -> None:
        """Count the order of a check-out that succeeded."""
        self.orders += 1
        self.ordered_amount += order["total"]
        self._enter_status(order)

    def enter_payment(self, order: dict[str, Any], amount: int, disposition: str) -> None:
        """Count a payment that is told for the first time. It is the only one of its order."""
        self.payments += 1
        self.paid_amount += amount
        if disposition == "accepted":
            self.accepted_amount += amount
        self._enter_status(order)

    def _enter_status(self, order: dict[str, Any]) -> None:
        if order["status"] == "paid":
            self.paid_orders += 1
            for item in order["items"]:
                self.sold[item["ticket_type_id"]] += item["quantity"] - item["released"]

    def differences(self, recorded: "Sales") -> list[str]:
        """Return a sentence for each count that differs from what is recorded."""
        pairs = [
            (name.replace("_", " "), getattr(self, name), getattr(recorded, name))
            for name in (
                "orders",
                "ordered_amount",
                "payments",
                "paid_amount",
                "accepted_amount",
                "paid_orders",
            )
        ]
        return [
            f"{name.capitalize()}: {told:,} by the responses, but {known:,} recorded."
            for name, told, known in pairs
            if told != known
        ]
