"""What happens when orders, payments and newcomers want the same tickets at the same time."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from functools import partial

from sqlalchemy.ext.asyncio import AsyncEngine

from shared.commands import Command
from shared.ids import new_id
from shared.outcomes import Outcome, PaymentResult
from tests.builders import (
    RULES,
    cancel_event,
    cancel_order,
    check_out,
    record_payment,
    release_tickets,
    reserve,
)
from tests.worker.harness import Harness, eventually, summary
from worker.apply import apply
from worker.committer import Committer
from worker.operations.cancelled_events import cancel_some
from worker.operations.sweep import sweep_once

ROUNDS = 10
PRICE = 500


async def at_once(harness: Harness, *commands: Command) -> list[Outcome]:
    """Decide each command in a transaction of its own, all at the same time."""
    return [outcome for (outcome,) in await asyncio.gather(*map(harness.apply, commands))]


async def priced(harness: Harness, total: int) -> str:
    tickets = await harness.ticket_type(total=total)
    await harness.price(tickets, PRICE)
    return tickets


async def balanced(harness: Harness, *ticket_type_ids: str) -> None:
    """What is reserved and sold is what carts and orders have."""
    for id in ticket_type_ids:
        rows = await harness.rows(
            """
            SELECT status, sum(held) FROM booking.order_items
            JOIN booking.orders ON orders.id = order_id
            WHERE ticket_type_id = CAST(:id AS uuid) GROUP BY status
            """,
            id=id,
        )
        in_orders = {status: int(held) for status, held in rows}
        assert await harness.sold(id) == in_orders.get("paid", 0)
        pending = in_orders.get("pending_payment", 0)
        assert await harness.reserved(id) == pending + await harness.held(id)


def reason_of(outcome: Outcome) -> str | None:
    assert isinstance(outcome.result, PaymentResult)
    return outcome.result.payment.reason


async def test_the_last_ticket_between_an_expired_order_its_payment_and_a_newcomer(
    harness: Harness,
) -> None:
    buyers = Counter[str]()
    for _ in range(ROUNDS):
        last = await priced(harness, total=1)
        ann, bob = await harness.users(2)
        order = await harness.order(ann, {last: 1})
        await harness.let_orders_pass(order)

        paid, reserved = await at_once(
            harness, record_payment(harness.organizer, order, PRICE), reserve(bob, {last: 1})
        )

        if summary([reserved]) == ["succeeded"]:
            assert reason_of(paid) == "order_expired"
            assert (await harness.reserved(last), await harness.sold(last)) == (1, 0)
        else:
            assert reason_of(paid) is None
            assert (await harness.reserved(last), await harness.sold(last)) == (0, 1)
        await balanced(harness, last)
        buyers.update(summary([reserved]))
    assert sum(buyers.values()) == ROUNDS


async def test_an_order_that_is_over_refuses_no_buyer(harness: Harness) -> None:
    last, (ann, bob) = await harness.ticket_type(total=3), await harness.users(2)
    await harness.price(last, PRICE)
    order = await harness.order(ann, {last: 3})
    await harness.let_orders_pass(order)

    assert summary(await harness.apply(reserve(bob, {last: 3}))) == ["succeeded"]

    assert await harness.status(order) == "expired"
    await balanced(harness, last)


async def test_two_payments_at_once_buy_once(harness: Harness) -> None:
    for _ in range(ROUNDS):
        tickets, ann = await priced(harness, total=5), await harness.user()
        order = await harness.order(ann, {tickets: 2})

        paid = await at_once(
            harness, *[record_payment(harness.organizer, order, 2 * PRICE) for _ in range(2)]
        )

        assert sorted(map(str, map(reason_of, paid))) == ["None", "already_paid"]
        await balanced(harness, tickets)
        assert await harness.sold(tickets) == 2


async def test_one_payment_told_twice_at_once_counts_once(harness: Harness) -> None:
    for _ in range(ROUNDS):
        tickets, ann = await priced(harness, total=5), await harness.user()
        order = await harness.order(ann, {tickets: 2})
        news = {"payment_id": new_id()}

        paid = await at_once(
            harness,
            *[record_payment(harness.organizer, order, 2 * PRICE, **news) for _ in range(3)],
        )

        assert [reason_of(one) for one in paid] == [None] * 3
        rows = await harness.rows(
            "SELECT paid FROM booking.orders WHERE id = CAST(:id AS uuid)", id=order
        )
        assert rows == [(2 * PRICE,)]


async def test_one_payment_id_for_two_orders_at_once_is_recorded_once(harness: Harness) -> None:
    """No lock is common to the two: the table's key decides, and the loser is decided again."""
    for _ in range(ROUNDS):
        tickets, users = await priced(harness, total=5), await harness.users(2)
        orders = [await harness.order(user, {tickets: 1}) for user in users]
        news = {"payment_id": new_id()}
        committers = [committer_of(harness.engine) for _ in orders]

        told = await asyncio.gather(
            *(
                committer.submit([record_payment(harness.organizer, order, PRICE, **news)])
                for committer, order in zip(committers, orders, strict=True)
            )
        )

        await asyncio.gather(*(committer.stop() for committer in committers))
        documents = [outcome.document for (outcome,) in told]
        assert sum("payment_id_reused" in document for document in documents) == 1
        assert await harness.sold(tickets) == 1


def committer_of(engine: AsyncEngine) -> Committer:
    committer = Committer(partial(apply, engine, RULES))
    committer.start()
    return committer


async def test_cancelling_against_a_payment_loses_neither_money_nor_tickets(
    harness: Harness,
) -> None:
    for _ in range(ROUNDS):
        tickets, ann = await priced(harness, total=5), await harness.user()
        order = await harness.order(ann, {tickets: 2})

        paid, cancelled = await at_once(
            harness,
            record_payment(harness.organizer, order, 2 * PRICE),
            cancel_order(ann, order),
        )

        if summary([cancelled]) == ["succeeded"]:
            assert reason_of(paid) == "order_cancelled"
            assert await harness.status(order) == "cancelled"
        else:
            assert summary([cancelled]) == ["order_not_pending"]
            assert reason_of(paid) is None
            assert await harness.status(order) == "paid"
        await balanced(harness, tickets)


async def test_an_event_is_cancelled_against_all_that_its_orders_do(
    harness: Harness, committer: Committer
) -> None:
    tickets, users = await priced(harness, total=100), await harness.users(12)
    orders = [await harness.order(user, {tickets: 2}) for user in users[:9]]
    await harness.apply(record_payment(harness.organizer, orders[0], 2 * PRICE))
    await harness.apply(*[reserve(user, {tickets: 1}) for user in users[9:]])
    commands: Sequence[Command] = [
        *[record_payment(harness.organizer, order, 2 * PRICE) for order in orders[1:5]],
        *[cancel_order(user, order) for user, order in zip(users[5:7], orders[5:7], strict=True)],
        release_tickets(harness.organizer, orders[0], {tickets: 1}),
        cancel_event(harness.organizer, harness.event),
        *[check_out(user, harness.event) for user in users[9:]],
    ]

    await at_once(harness, *commands)
    while await cancel_some(harness.engine, committer):
        pass

    statuses = {await harness.status(order) for order in orders}
    assert statuses == {"cancelled"}
    assert await harness.sold(tickets) == 0
    await balanced(harness, tickets)
    due = await harness.rows(
        "SELECT sum(paid), sum(paid - refunded - kept - tickets_value) FROM booking.orders"
        " WHERE event_id = CAST(:id AS uuid)",
        id=harness.event,
    )
    assert due == [(5 * 2 * PRICE, 5 * 2 * PRICE)]


async def test_the_sweep_of_a_cancelled_event_ends_with_a_mark(
    harness: Harness, committer: Committer
) -> None:
    tickets, users = await priced(harness, total=100), await harness.users(3)
    for user in users:
        await harness.order(user, {tickets: 1}, paid=PRICE)
    await harness.apply(cancel_event(harness.organizer, harness.event))

    while await cancel_some(harness.engine, committer):
        pass

    marked = await harness.rows(
        "SELECT orders_cancelled FROM booking.events WHERE id = CAST(:id AS uuid)",
        id=harness.event,
    )
    assert marked == [(True,)]
    assert await harness.sold(tickets) == 0


async def test_the_sweep_expires_an_order_that_no_command_asks_for(
    harness: Harness, committer: Committer
) -> None:
    tickets, ann = await priced(harness, total=5), await harness.user()
    order = await harness.order(ann, {tickets: 2})
    await harness.let_orders_pass(order)

    async def is_expired() -> bool:
        await sweep_once(harness.engine, committer)
        return await harness.status(order) == "expired"

    await eventually(is_expired)
    await balanced(harness, tickets)


async def test_all_payments_of_one_sender_do_not_wait_for_its_row(harness: Harness) -> None:
    """They lock the buyers: a batch that holds the sender's row delays no payment."""
    tickets, ann = await priced(harness, total=5), await harness.user()
    order = await harness.order(ann, {tickets: 2})

    async with harness.locked("users", harness.organizer):
        payment = record_payment(harness.organizer, order, 2 * PRICE)
        async with asyncio.timeout(5):
            assert summary(await harness.apply(payment)) == ["succeeded"]
