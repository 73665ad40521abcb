"""The commands of orders: what buyers, organizers and payment agents may ask at any moment."""

from datetime import timedelta
from random import Random
from typing import Any, Protocol, TypeVar

from reliability.simulation.fakes.tables import OrderRow, Tables
from reliability.simulation.fakes.virtual_time import VirtualLoop
from shared.bodies import Line
from shared.commands import (
    CancelOrder,
    CheckOut,
    Command,
    CommandFields,
    ExtendOrder,
    RecordPayment,
    RecordRefund,
    ReleaseTickets,
)

C = TypeVar("C", bound=CommandFields)


class Make(Protocol):
    """Makes a command of a class, a user and its own fields."""

    def __call__(self, kind: type[C], user_id: str, **fields: Any) -> C: ...


class PurchaseCommands:
    """Draws commands that fit the committed orders, and some that do not."""

    def __init__(self, loop: VirtualLoop, random: Random, tables: Tables, make: Make) -> None:
        self._loop = loop
        self._random = random
        self._tables = tables
        self._make = make
        self._checked_out: list[str] = []
        """IDs of all orders that were asked for."""
        self._payments: list[dict[str, Any]] = []
        """What was told of payments: a provider tells it again."""
        self._refunds: list[dict[str, Any]] = []
        self._told = 0

    def check_out(self, buyer: str, event_ids: list[str]) -> CheckOut:
        """Check out what is in the buyer's cart, most of the time."""
        tables, random = self._tables, self._random
        carts = [c.id for c in tables["carts"].values() if c.user_id == buyer]
        in_cart = [
            tables["ticket_types"][type_id].event_id
            for cart_id, type_id in tables["lines"]
            if cart_id in carts
        ]
        expected_total = random.choice((0, 500, 1000)) if random.random() < 0.05 else None
        event_id = random.choice(in_cart or event_ids)
        command: CheckOut = self._make(
            CheckOut, buyer, event_id=event_id, expected_total=expected_total
        )
        self._checked_out.append(command.command_id)
        return command

    def of_an_order(self, buyers: list[str]) -> Command | None:
        """Whatever may be asked of an order; None while there is none."""
        random, tables = self._random, self._tables
        if self._checked_out and random.random() < 0.05:
            # Perhaps of an order that no worker has decided yet.
            return self._payment(self._checked_out[-1], None, random.choice(buyers))
        if not tables["orders"]:
            return None
        # The newest most often, for it is pending.
        orders = list(tables["orders"].values())
        order: OrderRow = orders[-1 - int(len(orders) * random.random() ** 2)]
        event = tables["events"][order.event_id]
        agent = event.payment_agent_id or event.organizer_id
        organizer = event.organizer_id
        if random.random() < 0.05:
            agent = organizer = random.choice(buyers)
        match random.randrange(16):
            case 0:
                return self._release(order, organizer)
            case 1 | 2:
                user = random.choice((order.user_id, organizer))
                keep = {"keep_amount": random.randint(0, 300)} if random.random() < 0.3 else {}
                return self._make(CancelOrder, user, order_id=order.id, **keep)
            case 3:
                seconds = random.choice((-1, 1, 2, 100 * 86_400))
                pay_by = order.pay_by + timedelta(seconds=seconds)
                return self._make(ExtendOrder, organizer, order_id=order.id, pay_by=pay_by)
            case 4 | 5 | 6:
                return self._refund(order, agent)
            case _:
                return self._payment(order.id, order, agent)

    def _payment(self, order_id: str, order: OrderRow | None, agent: str) -> RecordPayment:
        random = self._random
        if self._payments and random.random() < 0.2:
            told = random.choice(self._payments)
            if random.random() < 0.2:
                told = told | random.choice(
                    ({"order_id": order_id}, {"amount": told["amount"] + 1}, {"currency": "USD"})
                )
        else:
            due = max(1, order.total - order.accepted) if order else 1000
            amount = random.choice((due, due, due, due + 100, max(1, due // 2), 2 * due))
            currency = "EUR" if random.random() < 0.95 else "USD"
            told = {
                "order_id": order_id,
                "payment_id": self._new_name("pay"),
                "amount": amount,
                "currency": currency,
            }
            self._payments.append(told)
        return self._make(RecordPayment, agent, **told)

    def _refund(self, order: OrderRow, agent: str) -> RecordRefund:
        random = self._random
        if self._refunds and random.random() < 0.2:
            told = random.choice(self._refunds)
            if random.random() < 0.2:
                told = told | random.choice(
                    ({"order_id": order.id}, {"amount": told["amount"] + 1})
                )
        else:
            due = order.paid - order.refunded - order.kept - order.tickets_value
            # Perhaps of a payment that is not known here yet.
            amount = due if due > 0 and random.random() < 0.7 else random.choice((1, 500, 1000))
            told = {"order_id": order.id, "refund_id": self._new_name("ref"), "amount": amount}
            self._refunds.append(told)
        return self._make(RecordRefund, agent, **told)

    def _release(self, order: OrderRow, organizer: str) -> ReleaseTickets:
        random = self._random
        types = [type_id for order_id, type_id in self._tables["items"] if order_id == order.id]
        lines = tuple(
            Line(ticket_type_id=random.choice(types), quantity=random.randint(1, 2))
            for _ in range(random.choice((1, 1, 2)))
        )
        keep = {"keep_amount": random.choice((0, 100, 5000))} if random.random() < 0.3 else {}
        return self._make(ReleaseTickets, organizer, order_id=order.id, items=lines, **keep)

    def _new_name(self, kind: str) -> str:
        self._told += 1
        return f"{kind}_{self._told}"
