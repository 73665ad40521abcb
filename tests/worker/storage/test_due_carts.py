"""Holds that are over, more of them than one transaction takes along, and the sweep."""

import asyncio

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from shared.commands import Command
from tests.builders import RULES, change_ticket_type, release_cart, reserve, set_quantity
from tests.worker.harness import Harness, eventually, summary
from worker import apply as unit_of_work
from worker.apply import apply
from worker.committer import Committer
from worker.domain.locks import Due
from worker.operations import sweep as sweeping


@pytest.fixture
def a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> int:
    """Three lines of due carts at most in one transaction."""
    monkeypatch.setattr(unit_of_work, "DUE_LINES_BESIDE_COMMANDS", 3)
    monkeypatch.setattr(unit_of_work, "DUE_LINES_ALONE", 3)
    return 3


@pytest.mark.parametrize("due", [1, 3, 4, 10], ids=lambda due: f"{due} due")
async def test_any_number_of_due_carts_on_a_ticket_type_refuses_no_buyer(
    harness: Harness, a_few_at_a_time: int, due: int
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=due)
    await harness.due_carts(due, {tickets: 1})

    assert summary(await harness.apply(reserve(ann, {tickets: due}))) == ["succeeded"]
    assert await harness.reserved(tickets) == await harness.held(tickets) == due


async def test_due_carts_of_several_wanted_ticket_types_are_counted_as_carts(
    harness: Harness, a_few_at_a_time: int
) -> None:
    """Each due cart has three lines that are wanted: three rows must not pass for three carts."""
    ann, kinds = await harness.user(), await harness.ticket_types(3, total=5)
    await harness.due_carts(5, dict.fromkeys(kinds, 1))

    outcomes = await harness.apply(reserve(ann, dict.fromkeys(kinds, 5)))

    assert summary(outcomes) == ["succeeded"]


@pytest.mark.parametrize("buyers_came", ["first", "last"])
async def test_due_carts_of_the_buyers_themselves_do_not_use_up_the_room_for_others(
    harness: Harness, a_few_at_a_time: int, buyers_came: str
) -> None:
    tickets = await harness.ticket_type(total=12)
    owners = await harness.due_carts(12, {tickets: 1})
    buyers = owners[:6] if buyers_came == "first" else owners[6:]

    outcomes = await harness.apply(*[reserve(user, {tickets: 2}) for user in buyers])

    assert summary(outcomes) == ["succeeded"] * 6
    assert await harness.held(tickets) == 12


async def test_raising_a_quantity_takes_due_carts_along_too(
    harness: Harness, a_few_at_a_time: int
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=5)
    await harness.due_carts(5, {tickets: 1})

    assert summary(await harness.apply(set_quantity(ann, tickets, 5))) == ["succeeded"]


async def test_a_batch_that_finds_enough_tickets_expires_few_due_carts(
    harness: Harness, a_few_at_a_time: int
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type(total=20)
    await harness.due_carts(10, {tickets: 1})

    assert summary(await harness.apply(reserve(ann, {tickets: 1}))) == ["succeeded"]

    assert await harness.reserved(tickets) == 10 - a_few_at_a_time + 1


async def test_lowering_the_total_expires_all_due_carts_first(
    harness: Harness, a_few_at_a_time: int
) -> None:
    tickets = await harness.ticket_type(total=20)
    await harness.due_carts(10, {tickets: 1})

    outcomes = await harness.apply(
        change_ticket_type(harness.organizer, tickets, lower_to_committed=True)
    )

    assert summary(outcomes) == ["succeeded"]
    assert await harness.reserved(tickets) == 0


async def test_due_carts_that_no_command_needs_are_left_to_the_sweep(
    harness: Harness,
) -> None:
    tickets = await harness.ticket_type(total=5)
    await harness.due_carts(2, {tickets: 1})

    await harness.apply(release_cart(await harness.user()))

    assert await harness.reserved(tickets) == 2


# --- the sweep ------------------------------------------------------------------------------


async def test_the_sweep_expires_due_carts_without_anybody_asking(
    harness: Harness, engine: AsyncEngine, committer: Committer
) -> None:
    tickets = await harness.ticket_type(total=50)
    users = await harness.due_carts(20, {tickets: 2})

    assert await sweeping.sweep_once(engine, committer) >= 20

    assert await harness.reserved(tickets) == await harness.held(tickets) == 0
    assert await harness.carts(users[0]) == [("expired", {})]


async def test_the_sweep_leaves_carts_that_still_hold(
    harness: Harness, engine: AsyncEngine, committer: Committer
) -> None:
    ann, tickets = await harness.user(), await harness.ticket_type()
    await harness.apply(reserve(ann, {tickets: 2}))

    await sweeping.sweep_once(engine, committer)

    assert await harness.held(tickets) == 2
    assert await sweeping.sweep_once(engine, committer) == 0


async def test_the_sweep_goes_on_until_nothing_is_due(
    harness: Harness,
    engine: AsyncEngine,
    committer: Committer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A full round is followed by the next at once: the interval would take a minute here."""
    monkeypatch.setattr(sweeping, "MAX_HOLDS", 2)
    monkeypatch.setattr(sweeping, "INTERVAL_SECONDS", 60)
    tickets = await harness.ticket_type()
    await harness.due_carts(7, {tickets: 1})

    task = asyncio.create_task(sweeping.sweep(engine, committer))

    async def swept() -> bool:
        return await harness.reserved(tickets) == 0

    await eventually(swept)
    task.cancel()


async def test_the_sweep_outlives_a_fault(
    harness: Harness,
    engine: AsyncEngine,
    committer: Committer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sweeping, "INTERVAL_SECONDS", 0.01)
    tickets = await harness.ticket_type()
    await harness.due_carts(1, {tickets: 1})
    submit, faults = committer.submit, iter([OSError("no route"), RuntimeError("a bug")])

    def fail_twice(commands: list[Command], due: list[str]) -> asyncio.Future[list[str]]:
        if fault := next(faults, None):
            raise fault
        return submit(commands, due)

    monkeypatch.setattr(committer, "submit", fail_twice)
    task = asyncio.create_task(sweeping.sweep(engine, committer))

    async def swept() -> bool:
        return await harness.reserved(tickets) == 0

    await eventually(swept)
    task.cancel()


async def test_a_cart_that_is_renewed_before_the_sweep_gets_to_it_stays(
    harness: Harness, engine: AsyncEngine
) -> None:
    """The sweep names users, not carts: who has come back in the meantime keeps the new cart."""
    tickets = await harness.ticket_type()
    (bob,) = await harness.due_carts(1, {tickets: 1})
    await harness.apply(reserve(bob, {tickets: 3}))

    await apply(engine, RULES, (), due=[Due(bob)])

    assert [status for status, _ in await harness.carts(bob)] == ["expired", "active"]
    assert await harness.held(tickets) == await harness.reserved(tickets) == 3
