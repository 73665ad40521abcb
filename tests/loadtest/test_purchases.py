"""What follows a granted reservation: a check-out, a payment, and the payment told again."""

from typing import Any

import pytest

from loadtest.arguments import read_arguments
from loadtest.fixtures import Account, Fixtures
from loadtest.measure.sales import Sales
from loadtest.purchases import CheckOut, Payment, Purchases
from loadtest.workload import Reservation, Workload

FIXTURES = Fixtures(Account("organizer", ""), "event", ["type"], [Account("buyer", "")])
ALL = Workload(buyers=1, check_out=1.0, pay=1.0, repeats=1.0)
RESERVATION = Reservation("command", 0, (0,))


def order(status: str) -> dict[str, Any]:
    items = [{"ticket_type_id": "type", "quantity": 2, "released": 0}]
    return {"id": "order", "total": 50, "currency": "EUR", "status": status, "items": items}


def payment(disposition: str) -> dict[str, Any]:
    return {"order": order("paid"), "payment": {"disposition": disposition}}


def test_a_whole_sale_is_counted_once_although_its_payment_is_told_again() -> None:
    sales = Sales()
    purchases = Purchases(ALL, FIXTURES, sales)
    check_out = purchases.after(RESERVATION, {})
    assert isinstance(check_out, CheckOut)
    first = purchases.after(check_out, {"order": order("pending_payment")})
    assert isinstance(first, Payment)
    again = purchases.after(first, payment("accepted"))
    assert isinstance(again, Payment)
    assert again.payment_id == first.payment_id
    assert again.command_id != first.command_id
    assert purchases.after(again, payment("accepted")) is None
    assert (sales.orders, sales.payments, sales.paid_orders) == (1, 1, 1)
    assert (sales.ordered_amount, sales.paid_amount, sales.accepted_amount) == (50, 50, 50)
    assert sales.sold == {"type": 2}


def test_surplus_is_paid_and_not_accepted() -> None:
    sales = Sales()
    purchases = Purchases(ALL, FIXTURES, sales)
    told = Payment("command", 0, order("pending_payment"), told_before=None)
    purchases.after(told, payment("surplus"))
    assert (sales.paid_amount, sales.accepted_amount) == (50, 0)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_the_share_that_checks_out_does(share: float) -> None:
    purchases = Purchases(Workload(check_out=share), FIXTURES, Sales())
    count = sum(purchases.after(RESERVATION, {}) is not None for _ in range(20_000))
    assert abs(count / 20_000 - share) < 0.02


def test_what_is_put_is_taken_once_the_oldest_first() -> None:
    purchases = Purchases(ALL, FIXTURES, Sales())
    put = [CheckOut(str(number), 0) for number in range(3)]
    for each in [*put, None]:
        purchases.put(each)
    assert purchases.take(2) == put[:2]
    assert purchases.take(2) == put[2:]


def test_payments_without_orders_are_an_error_of_the_command_line() -> None:
    with pytest.raises(SystemExit):
        read_arguments(["queue", "--broker-url", "amqp://x", "--pay", "1"])
