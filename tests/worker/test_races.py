"""What happens when several workers want the same thing at the same time."""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.bodies import MAX_TICKET_TYPES
from shared.ids import new_id
from tests.builders import (
    A_MOMENT,
    LONG_AGO,
    cancel_event,
    change_event,
    create_ticket_type,
    register_user,
    release_cart,
    reserve,
    set_quantity,
)
from tests.worker.harness import Harness, summary
from worker.committer import Committer
from worker.storage.engine import create_engine

PUT_LAST_TICKET_INTO_CART = text("""
    WITH reserved AS (
        UPDATE booking.ticket_types SET reserved = reserved + 1
        WHERE id = CAST(:ticket_type AS uuid) RETURNING id
    )
    INSERT INTO booking.cart_items (cart_id, ticket_type_id, quantity, expires_at)
    SELECT carts.id, reserved.id, 1, carts.expires_at FROM booking.carts, reserved
    WHERE user_id = CAST(:user AS uuid) AND status = 'active'
""")


@pytest.fixture
async def two_workers(database_url: str) -> AsyncIterator[tuple[AsyncEngine, AsyncEngine]]:
    """Two engines, as two processes would have."""
    engines = create_engine(database_url, 5), create_engine(database_url, 5)
    yield engines
    for engine in engines:
        await engine.dispose()


async def test_two_users_and_the_last_ticket(
    harness: Harness, two_workers: tuple[AsyncEngine, AsyncEngine]
) -> None:
    ann, bob = await harness.users(2)
    for _ in range(20):
        last = await harness.ticket_type(total=1)

        outcomes = await asyncio.gather(
            harness.apply(reserve(ann, {last: 1}), engine=two_workers[0]),
            harness.apply(reserve(bob, {last: 1}), engine=two_workers[1]),
        )

        codes = sorted(summary(outcome for (outcome,) in outcomes))
        assert codes == ["insufficient_availability", "succeeded"]
        assert await harness.reserved(last) == await harness.held(last) == 1


async def test_a_double_click_holds_once(
    harness: Harness, two_workers: tuple[AsyncEngine, AsyncEngine]
) -> None:
    ann = await harness.user()
    for _ in range(20):
        tickets = await harness.ticket_type()
        click = reserve(ann, {tickets: 1})

        (first,), (second,) = await asyncio.gather(
            harness.apply(click, engine=two_workers[0]),
            harness.apply(click, engine=two_workers[1]),
        )

        assert first == second
        assert first.status == "succeeded"
        assert await harness.reserved(tickets) == await harness.held(tickets) == 1


async def test_fifty_clicks_at_once_hold_once_and_get_fifty_equal_answers(
    harness: Harness, committer: Committer
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    click = reserve(ann, {tickets: 2})

    straight = [harness.apply(click) for _ in range(15)]
    answers = await asyncio.gather(*straight)
    batched = await asyncio.gather(*(committer.submit([click]) for _ in range(35)))

    assert len({str(answer) for answer in answers}) == 1
    assert {outcome.document for (outcome,) in batched} == set(await harness.recorded(click))
    assert await harness.held(tickets) == 2


async def test_twenty_workers_sell_a_hundred_tickets_and_not_one_more(
    harness: Harness,
) -> None:
    tickets = await harness.ticket_type(total=100)
    buyers = await harness.users(160)
    deadlocks = await harness.deadlocks()

    async def work(own: list[str]) -> list[str]:
        return [summary(await harness.apply(reserve(user, {tickets: 1})))[0] for user in own]

    answers = await asyncio.gather(*(work(buyers[worker::20]) for worker in range(20)))

    assert Counter(itertools.chain(*answers)) == {"succeeded": 100, "insufficient_availability": 60}
    assert await harness.reserved(tickets) == await harness.held(tickets) == 100
    assert await harness.deadlocks() == deadlocks


async def test_lines_in_opposite_orders_do_not_deadlock(harness: Harness) -> None:
    ticket_types = await harness.ticket_types(6, total=10_000)
    deadlocks = await harness.deadlocks()

    async def work(seed: int) -> None:
        order = random.Random(seed)
        for user in await harness.users(2):
            wanted = order.sample(ticket_types, 4)
            await harness.apply(
                reserve(user, dict.fromkeys(wanted, 1)),
                reserve(user, dict.fromkeys(reversed(wanted), 1)),
                set_quantity(user, wanted[0], 1),
            )

    await asyncio.gather(*(work(seed) for seed in range(100)))

    assert sum([await harness.held(id) for id in ticket_types]) == 100 * 2 * 7
    assert await harness.deadlocks() == deadlocks


async def test_users_in_opposite_orders_do_not_deadlock(harness: Harness) -> None:
    users = await harness.users(40)
    deadlocks = await harness.deadlocks()

    async def work(order: list[str]) -> None:
        for _ in range(5):
            await harness.apply(*[release_cart(user) for user in order])

    await asyncio.gather(work(users), work(users[::-1]), work(users), work(users[::-1]))

    assert await harness.deadlocks() == deadlocks


# --- cancelling against reserving -----------------------------------------------------------


async def test_a_reservation_that_waited_for_a_cancellation_is_refused(
    harness: Harness,
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    async with harness.locked("ticket_types", tickets) as other:
        cancelling = asyncio.create_task(
            harness.apply(cancel_event(harness.organizer, harness.event))
        )
        await harness.waiting(1)
        reserving = asyncio.create_task(harness.apply(reserve(ann, {tickets: 1})))
        await harness.waiting(2)
        await other.rollback()

    assert summary(await cancelling) == ["succeeded"]
    assert summary(await reserving) == ["event_cancelled"]
    assert await harness.reserved(tickets) == 0


async def test_a_reservation_that_waited_for_a_change_of_the_event_sees_the_change(
    harness: Harness,
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    change = change_event(harness.organizer, harness.event, ends_at=LONG_AGO + A_MOMENT)
    async with harness.locked("ticket_types", tickets) as other:
        changing = asyncio.create_task(harness.apply(change))
        await harness.waiting(1)
        reserving = asyncio.create_task(harness.apply(reserve(ann, {tickets: 1})))
        await harness.waiting(2)
        await other.rollback()

    assert summary(await changing) == ["succeeded"]
    assert summary(await reserving) == ["event_ended"]
    assert await harness.reserved(tickets) == 0


async def test_a_cancellation_that_waited_for_a_reservation_leaves_the_hold(
    harness: Harness,
) -> None:
    (ann, bob), tickets = await harness.users(2), await harness.ticket_type()
    async with harness.locked("ticket_types", tickets) as other:
        reserving = asyncio.create_task(harness.apply(reserve(ann, {tickets: 1})))
        await harness.waiting(1)
        cancelling = asyncio.create_task(
            harness.apply(cancel_event(harness.organizer, harness.event))
        )
        await harness.waiting(2)
        await other.rollback()

    assert summary(await reserving) == ["succeeded"]
    assert summary(await cancelling) == ["succeeded"]
    assert summary(await harness.apply(reserve(bob, {tickets: 1}))) == ["event_cancelled"]
    assert await harness.held(tickets) == 1


async def test_no_hold_succeeds_once_a_cancellation_is_committed(harness: Harness) -> None:
    tickets, buyers = await harness.ticket_type(), await harness.users(60)
    cancelled = asyncio.Event()
    too_late: list[str] = []

    async def buy(user: str) -> None:
        was_cancelled = cancelled.is_set()
        (code,) = summary(await harness.apply(reserve(user, {tickets: 1})))
        if was_cancelled:
            too_late.append(code)

    async def work(own: list[str]) -> None:
        for user in own:
            await buy(user)

    async def cancel() -> None:
        await asyncio.sleep(0.02)
        await harness.apply(cancel_event(harness.organizer, harness.event))
        cancelled.set()

    await asyncio.gather(cancel(), *(work(buyers[worker::6]) for worker in range(6)))
    await buy(await harness.user())

    assert set(too_late) == {"event_cancelled"}


async def test_a_ticket_type_created_while_its_event_is_cancelled_sells_nothing(
    harness: Harness,
) -> None:
    ann, _ = await harness.user(), await harness.ticket_type()
    create = create_ticket_type(harness.organizer, harness.event)

    await asyncio.gather(
        harness.apply(create), harness.apply(cancel_event(harness.organizer, harness.event))
    )

    (code,) = summary(await harness.apply(reserve(ann, {create.command_id: 1})))
    assert code in {"event_cancelled", "ticket_type_not_found"}


# --- holds that are over --------------------------------------------------------------------


async def test_an_expired_hold_of_another_user_refuses_no_buyer(harness: Harness) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=3)
    (bob,) = await harness.due_carts(1, {tickets: 3})

    assert summary(await harness.apply(reserve(ann, {tickets: 3}))) == ["succeeded"]
    assert await harness.carts(bob) == [("expired", {})]
    assert await harness.held(tickets) == await harness.reserved(tickets) == 3


async def test_expired_holds_on_any_line_of_any_command_refuse_no_buyer(
    harness: Harness,
) -> None:
    standing, seated = await harness.ticket_types(2, total=2)
    await harness.due_carts(2, {standing: 1, seated: 1})
    ann, bob, carl = await harness.users(3)

    outcomes = await harness.apply(
        reserve(ann, {standing: 1}),
        set_quantity(bob, standing, 1),
        reserve(carl, {seated: 2}),
    )

    assert summary(outcomes) == ["succeeded"] * 3


async def test_many_buyers_of_expired_tickets_at_once_get_each_ticket_once(
    harness: Harness,
) -> None:
    tickets = await harness.ticket_type(total=10)
    await harness.due_carts(10, {tickets: 1})
    buyers = await harness.users(15)

    answers = await asyncio.gather(*(harness.apply(reserve(b, {tickets: 1})) for b in buyers))

    codes = Counter(summary(outcome for (outcome,) in answers))
    assert codes == {"succeeded": 10, "insufficient_availability": 5}
    assert await harness.held(tickets) == await harness.reserved(tickets) == 10


async def test_a_hold_that_its_owner_releases_as_it_expires_is_given_back_once(
    harness: Harness,
) -> None:
    tickets = await harness.ticket_type(total=1)
    for _ in range(10):
        (bob,) = await harness.due_carts(1, {tickets: 1})
        ann = await harness.user()

        (bought,), (released,) = await asyncio.gather(
            harness.apply(reserve(ann, {tickets: 1})), harness.apply(release_cart(bob))
        )

        assert summary([bought, released]) == ["succeeded", "succeeded"]
        assert await harness.reserved(tickets) == await harness.held(tickets) == 1
        await harness.apply(release_cart(ann))


async def test_tickets_put_into_a_cart_just_before_its_expiry_refuse_no_later_buyer(
    harness: Harness,
) -> None:
    """Whoever looks for due carts does not see in them what is committed only later."""
    ann, bob = await harness.users(2)
    first, last = await harness.ticket_types(2, total=1)
    await harness.apply(reserve(ann, {first: 1}))
    async with harness.locked("ticket_types", last) as other:
        await harness.let_holds_pass([ann])
        await other.execute(PUT_LAST_TICKET_INTO_CART, {"user": ann, "ticket_type": last})
        reserving = asyncio.create_task(harness.apply(reserve(bob, {last: 1})))
        await harness.waiting()
        await other.commit()

    assert summary(await reserving) == ["succeeded"]
    assert await harness.carts(ann) == [("expired", {})]
    assert await harness.reserved(first) == await harness.held(first) == 0
    assert await harness.reserved(last) == await harness.held(last) == 1


# --- e-mail addresses and IDs ---------------------------------------------------------------


async def test_one_address_registered_twice_at_once_has_one_user(
    harness: Harness, committer: Committer, other_committer: Committer
) -> None:
    for round_ in range(10):
        email = f"ann-{round_}-{harness.event}@example.com"
        both = [register_user(email=email), register_user(email=email.upper())]
        outcomes = await asyncio.gather(
            committer.submit(both[:1]), other_committer.submit(both[1:])
        )

        codes = sorted('"email_taken"' in outcome.document for (outcome,) in outcomes)
        assert codes == [False, True]
        rows = await harness.rows(
            "SELECT id FROM booking.users WHERE lower(email) = lower(:email)", email=email
        )
        assert len(rows) == 1


async def test_an_id_used_by_two_users_at_once_belongs_to_one_of_them(
    harness: Harness, committer: Committer, other_committer: Committer
) -> None:
    ann, bob = await harness.users(2)
    for _ in range(10):
        tickets = await harness.ticket_type()
        hers = reserve(ann, {tickets: 1})
        his = reserve(bob, {tickets: 1}, command_id=hers.command_id)

        (first,), (second,) = await asyncio.gather(
            committer.submit([hers]), other_committer.submit([his])
        )

        told = [first.document, second.document]
        assert sorted('"command_id_reused"' in one for one in told) == [False, True]
        winner = next(one for one in told if "command_id_reused" not in one)
        assert await harness.recorded(hers) == [winner]
        assert await harness.held(tickets) == 1


async def test_the_same_registrations_in_opposite_orders_do_not_deadlock(
    harness: Harness, committer: Committer
) -> None:
    """No lock can be taken on users who are not there yet: the order of the inserts is all."""
    newcomers = sorted((register_user() for _ in range(9)), key=lambda one: one.user_id)
    middle = newcomers[4]
    deadlocks = await harness.deadlocks()

    async with harness.engine.connect() as other:
        await other.execute(
            text("""
                INSERT INTO booking.users (id, email, password_hash, registered_at)
                VALUES (CAST(:id AS uuid), :email, '$argon2id$', now())
            """),
            {"id": middle.user_id, "email": middle.email},
        )
        forwards = asyncio.ensure_future(committer.submit(newcomers))
        await harness.waiting(1)
        backwards = asyncio.ensure_future(committer.submit(newcomers[::-1]))
        await harness.waiting(2)
        await other.rollback()

    assert await forwards == (await backwards)[::-1]
    assert await harness.deadlocks() == deadlocks


async def test_commands_of_unknown_users_in_opposite_orders_do_not_deadlock(
    harness: Harness, committer: Committer
) -> None:
    """A user who does not exist cannot be locked either, and the refusals are recorded."""
    commands = [release_cart(new_id()) for _ in range(9)]
    middle = commands[4]
    deadlocks = await harness.deadlocks()

    async with harness.engine.connect() as other:
        await other.execute(
            text("""
                INSERT INTO booking.outcomes
                    (command_id, user_id, fingerprint, document, decided_at)
                VALUES (CAST(:id AS uuid), CAST(:id AS uuid), '', '', now())
            """),
            {"id": middle.command_id},
        )
        forwards = asyncio.ensure_future(committer.submit(commands))
        await harness.waiting(1)
        backwards = asyncio.ensure_future(committer.submit(commands[::-1]))
        await harness.waiting(2)
        await other.rollback()

    assert await forwards == (await backwards)[::-1]
    assert await harness.deadlocks() == deadlocks


async def test_an_event_gets_no_more_ticket_types_than_it_may_have(
    harness: Harness, two_workers: tuple[AsyncEngine, AsyncEngine]
) -> None:
    await harness.ticket_types(MAX_TICKET_TYPES - 5)
    creations = [create_ticket_type(harness.organizer, harness.event) for _ in range(20)]

    outcomes = await asyncio.gather(
        *(
            harness.apply(creation, engine=two_workers[number % 2])
            for number, creation in enumerate(creations)
        )
    )

    codes = Counter(summary(outcome for (outcome,) in outcomes))
    assert codes == {"succeeded": 5, "too_many_ticket_types": 15}
