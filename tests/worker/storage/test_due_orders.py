"""Orders whose hold is over, more of them than one transaction takes along."""

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.outcomes import PaymentResult
from tests.builders import RULES, check_out, record_payment, reserve
from tests.worker.harness import Harness, summary
from worker import apply as unit_of_work
from worker.apply import apply

PRICE = 500


@pytest.fixture(autouse=True)
def a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lines of due orders at most in one transaction."""
    monkeypatch.setattr(unit_of_work, "DUE_LINES_BESIDE_COMMANDS", 3)
    monkeypatch.setattr(unit_of_work, "DUE_LINES_ALONE", 3)


async def due_orders(harness: Harness, count: int, tickets: str) -> list[str]:
    orders = [await harness.order(user, {tickets: 1}) for user in await harness.users(count)]
    await harness.let_orders_pass(*orders)
    return orders


@pytest.mark.parametrize("due", [1, 3, 4, 10], ids=lambda due: f"{due} due")
async def test_any_number_of_due_orders_of_a_ticket_type_refuses_no_buyer(
    harness: Harness, due: int
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=due)
    await harness.price(tickets, PRICE)
    orders = await due_orders(harness, due, tickets)

    assert summary(await harness.apply(reserve(ann, {tickets: due}))) == ["succeeded"]

    assert await harness.reserved(tickets) == await harness.held(tickets) == due
    assert {await harness.status(order) for order in orders} == {"expired"}


async def test_a_late_payment_is_decided_once_the_due_orders_of_others_are_over(
    harness: Harness,
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=8)
    await harness.price(tickets, PRICE)
    late = await harness.order(ann, {tickets: 8})
    await harness.let_orders_pass(late)
    await harness.apply(reserve(await harness.user(), {tickets: 1}))  # expires the order
    assert await harness.status(late) == "expired"
    await due_orders(harness, 7, tickets)
    (holder,) = await harness.rows(
        "SELECT user_id::text FROM booking.carts JOIN booking.cart_items ON cart_id = carts.id"
        " WHERE ticket_type_id = CAST(:id AS uuid)",
        id=tickets,
    )
    await harness.let_holds_pass(list(holder))

    (paid,) = await harness.apply(record_payment(harness.organizer, late, 8 * PRICE))

    assert isinstance(paid.result, PaymentResult)
    assert paid.result.payment.reason is None
    assert (await harness.reserved(tickets), await harness.sold(tickets)) == (0, 8)


async def test_due_orders_of_the_buyer_do_not_count_for_the_limit_of_a_user(
    harness: Harness,
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=100)
    await harness.price(tickets, PRICE)
    await harness.limit(tickets, 2)
    await due_orders(harness, 6, tickets)
    own = await harness.order(ann, {tickets: 2})
    await harness.let_orders_pass(own)

    assert summary(await harness.apply(reserve(ann, {tickets: 2}))) == ["succeeded"]


async def test_checking_out_waits_for_no_due_holds_of_others(
    harness: Harness, engine: AsyncEngine
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=100)
    await harness.price(tickets, PRICE)
    orders = await due_orders(harness, 6, tickets)
    await harness.apply(reserve(ann, {tickets: 1}))

    done = await apply(engine, RULES, [check_out(ann, harness.event)])

    assert "succeeded" in done.outcomes[0].document
    assert "pending_payment" in {await harness.status(order) for order in orders}
