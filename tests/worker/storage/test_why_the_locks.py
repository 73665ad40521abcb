"""Controls: each race does appear as soon as the lock, or its order, is taken away.

Every scene is staged so that its outcome does not depend on luck, and is played twice: as the
worker does it, and as it would be done wrongly. That it fails the second time shows that the
tests of the races can fail at all.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asyncpg import PostgresError, UniqueViolationError
from sqlalchemy import text

from tests.builders import reserve
from tests.worker.harness import Harness, summary
from worker import apply as unit_of_work
from worker.domain.batch import RecordedOutcome
from worker.domain.book import Rules
from worker.faults import sqlstate
from worker.storage import locking, outcomes, statements
from worker.storage.driver import Driver

right_and_wrong = pytest.mark.parametrize("wrongly", [False, True], ids=["right", "wrong"])
PATIENCE_SECONDS = 0.4


class Rendezvous:
    """Two meet here; whoever comes alone goes on after a while, as behind a lock nobody comes."""

    def __init__(self) -> None:
        self._both = asyncio.Barrier(2)

    async def meet(self) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._both.wait()
        except (TimeoutError, asyncio.BrokenBarrierError):
            await self._both.abort()


def before(function: Callable[..., Awaitable[Any]], meet: Callable[[], Awaitable[None]]) -> Any:
    async def met(*arguments: Any) -> Any:
        await meet()
        return await function(*arguments)

    return met


def without_lock(statement: str) -> str:
    unlocked = statement.replace("FOR NO KEY UPDATE", "")
    assert unlocked != statement
    return unlocked


# --- the lock on the ticket types -----------------------------------------------------------


@right_and_wrong
async def test_without_the_lock_on_its_ticket_type_the_last_ticket_is_sold_twice(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, wrongly: bool
) -> None:
    (ann, bob), last = await harness.users(2), await harness.ticket_type(total=1)
    monkeypatch.setattr(unit_of_work, "save", before(unit_of_work.save, Rendezvous().meet))
    if wrongly:
        monkeypatch.setattr(locking, "LOCK_TICKET_TYPES", without_lock(locking.LOCK_TICKET_TYPES))

    (anns,), (bobs,) = await asyncio.gather(
        harness.apply(reserve(ann, {last: 1})), harness.apply(reserve(bob, {last: 1}))
    )

    sold_twice = summary([anns, bobs]) == ["succeeded", "succeeded"]
    assert sold_twice is wrongly
    assert await harness.held(last) == (2 if wrongly else 1)


@right_and_wrong
async def test_without_the_lock_on_the_user_two_first_holds_open_two_carts(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, wrongly: bool
) -> None:
    """The unique active cart of a user is the last line of defence, and has to be one here."""
    ann, (standing, seated) = await harness.user(), await harness.ticket_types(2)
    monkeypatch.setattr(unit_of_work, "save", before(unit_of_work.save, Rendezvous().meet))
    if wrongly:
        monkeypatch.setattr(locking, "LOCK_USERS", without_lock(locking.LOCK_USERS))

    answers = await asyncio.gather(
        harness.apply(reserve(ann, {standing: 1})),
        harness.apply(reserve(ann, {seated: 1})),
        return_exceptions=True,
    )

    failed = [answer for answer in answers if isinstance(answer, UniqueViolationError)]
    assert bool(failed) is wrongly
    assert not wrongly or "carts_one_active_a_user" in str(failed[0])


# --- the order of the locks -----------------------------------------------------------------


@right_and_wrong
async def test_ticket_types_locked_in_the_order_of_the_request_deadlock(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, wrongly: bool
) -> None:
    (ann, bob), (first, second) = await harness.users(2), await harness.ticket_types(2)
    rendezvous, lock_book = Rendezvous(), locking.lock_book

    async def lock_one_by_one(
        driver: Driver, users: locking.LockedUsers, rules: Rules
    ) -> locking.LockedBook:
        """Stands between the lock on the users and the one on the ticket types."""
        requested = [first, second] if ann in users.ids else [second, first]
        for ticket_type_id in requested if wrongly else sorted(requested):
            await driver.fetch(statements.LOCK_TICKET_TYPES, [ticket_type_id])
            await rendezvous.meet()
        return await lock_book(driver, users, rules)

    monkeypatch.setattr(locking, "lock_book", lock_one_by_one)
    deadlocks = await harness.deadlocks()

    answers = await asyncio.gather(
        harness.apply(reserve(ann, {first: 1, second: 1})),
        harness.apply(reserve(bob, {second: 1, first: 1})),
        return_exceptions=True,
    )

    failed = [answer for answer in answers if isinstance(answer, PostgresError)]
    assert [sqlstate(answer) for answer in failed] == (["40P01"] if wrongly else [])
    assert await harness.deadlocks() - deadlocks == len(failed)


# --- recalling under the locks --------------------------------------------------------------


@right_and_wrong
async def test_recalling_before_locking_applies_a_double_click_twice(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, wrongly: bool
) -> None:
    """What then still stops it is the key of the outcomes, the last line of defence."""
    ann, tickets = await harness.user(), await harness.ticket_type()
    click, rendezvous = reserve(ann, {tickets: 1}), Rendezvous()
    lock_users, recall = locking.lock_users, outcomes.recall
    recalled: dict[Driver, dict[str, RecordedOutcome]] = {}

    async def recall_then_lock(driver: Driver, commands: Any, *rest: Any) -> Any:
        recalled[driver] = await recall(driver, commands)
        await rendezvous.meet()
        return await lock_users(driver, commands, *rest)

    async def as_recalled(driver: Driver, commands: Any) -> dict[str, RecordedOutcome]:
        return recalled[driver] if wrongly else await recall(driver, commands)

    monkeypatch.setattr(locking, "lock_users", recall_then_lock)
    monkeypatch.setattr(outcomes, "recall", as_recalled)

    answers = await asyncio.gather(
        harness.apply(click), harness.apply(click), return_exceptions=True
    )

    failed = [answer for answer in answers if isinstance(answer, UniqueViolationError)]
    assert bool(failed) is wrongly
    assert not wrongly or re.search(r"outcomes_\d{8}_pkey", str(failed[0]))
    assert await harness.held(tickets) == 1


# --- reading under the locks, in a statement of its own -------------------------------------

JOINED = """
    SELECT event.id::text, event.status FROM booking.ticket_types
    JOIN booking.events AS event ON event.id = ticket_types.event_id
    WHERE ticket_types.id = ANY ($1::uuid[])
    FOR NO KEY UPDATE OF ticket_types
"""


@right_and_wrong
async def test_an_event_joined_under_the_lock_looks_active_after_it_was_cancelled(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, wrongly: bool
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    lock_book = locking.lock_book

    async def lock_book_with_a_join(
        driver: Driver, users: locking.LockedUsers, rules: Rules
    ) -> locking.LockedBook:
        """Locks and reads at once; the statement has to wait for its lock."""
        statuses = await driver.fetch(JOINED, [tickets])
        locked = await lock_book(driver, users, rules)
        for event_id, status in statuses:
            locked.book.events[event_id].status = status
        return locked

    if wrongly:
        monkeypatch.setattr(locking, "lock_book", lock_book_with_a_join)
    async with harness.locked("ticket_types", tickets) as cancelling:
        await cancelling.execute(
            text(f"UPDATE booking.events SET status = 'cancelled' WHERE id = '{harness.event}'")
        )
        reserving = asyncio.create_task(harness.apply(reserve(ann, {tickets: 1})))
        await harness.waiting(1)
        await cancelling.commit()

    assert summary(await reserving) == (["succeeded"] if wrongly else ["event_cancelled"])


# --- holds that are over --------------------------------------------------------------------


@right_and_wrong
async def test_a_batch_that_takes_no_due_carts_along_is_refused_by_an_expired_hold(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, wrongly: bool
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=1)
    await harness.due_carts(1, {tickets: 1})
    if wrongly:
        for look in ("LOCK_USERS", "READ_EVENTS"):
            blind = getattr(locking, look).replace("expires_at <=", "NULL::timestamptz <=")
            monkeypatch.setattr(locking, look, blind)

    outcome = await harness.apply(reserve(ann, {tickets: 1}))

    assert summary(outcome) == (["insufficient_availability"] if wrongly else ["succeeded"])
