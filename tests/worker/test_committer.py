"""The committer by itself: what goes together, what is tried again, what is narrowed down."""

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest

from shared.commands import Command
from shared.ids import new_id
from shared.refusals import Unprocessable
from tests.builders import a_book, release_cart
from tests.worker.harness import applied, decode, eventually
from worker import committer as group_commit
from worker.apply import AppliedBatch
from worker.committer import MAX_BATCH_COMMANDS, MAX_CONFLICTS, Committer
from worker.domain.batch import decide_batch
from worker.domain.locks import Due
from worker.storage.outcomes import EncodedOutcome

SOMEBODY = new_id()


class Script:
    """An `apply` that does what a test says, and notes what it was given."""

    def __init__(self) -> None:
        self.batches: list[list[Command]] = []
        self.due: list[list[EncodedOutcome]] = []
        self.may_commit = asyncio.Event()
        self.may_commit.set()
        self.fault: Callable[[Sequence[Command], Sequence[str]], Exception | None] = (
            lambda commands, due: None
        )

    async def __call__(
        self,
        commands: Sequence[Command],
        due: Sequence[str] = (),
        *,
        forced_refusal: Unprocessable | None = None,
    ) -> AppliedBatch:
        self.batches.append(list(commands))
        self.due.append(list(due))
        await self.may_commit.wait()
        if forced_refusal is None and (error := self.fault(commands, due)):
            raise error
        return applied(decide_batch(a_book(users=[SOMEBODY]), commands, {}, forced_refusal))

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.batches]


@pytest.fixture
async def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    monkeypatch.setattr(group_commit, "FIRST_PAUSE_SECONDS", 0.001)
    return Script()


@pytest.fixture
async def committer(script: Script) -> AsyncIterator[Committer]:
    committer = Committer(script)
    committer.start()
    yield committer
    await committer.stop()


def some(count: int) -> list[Command]:
    return [release_cart(SOMEBODY) for _ in range(count)]


async def all_batches_running(
    script: Script, committer: Committer
) -> list[asyncio.Task[list[EncodedOutcome]]]:
    """Hold the commits, and fill each concurrent batch with one command."""
    script.may_commit.clear()
    tasks = []
    for count in range(1, group_commit.MAX_CONCURRENT_BATCHES + 1):
        tasks.append(asyncio.ensure_future(committer.submit(some(1))))

        async def taken(count: int = count) -> bool:
            return len(script.batches) == count

        await eventually(taken)
    return tasks


def ids(outcomes: Sequence[EncodedOutcome]) -> list[str | None]:
    return [decode(outcome).command_id for outcome in outcomes]


class PassingError(OSError):
    """A fault of the infrastructure."""


class ConflictError(Exception):
    sqlstate = "23505"


# --- what goes together ---------------------------------------------------------------------


async def test_a_command_alone_is_taken_at_once(script: Script, committer: Committer) -> None:
    async with asyncio.timeout(0.5):
        (command,) = some(1)
        assert ids(await committer.submit([command])) == [command.command_id]


async def test_commands_that_arrive_during_a_transaction_share_the_next_one(
    script: Script, committer: Committer
) -> None:
    first = await all_batches_running(script, committer)
    messages = [some(count) for count in (1, 3, 2)]
    waiting = [asyncio.ensure_future(committer.submit(message)) for message in messages]
    await asyncio.sleep(0.01)
    script.may_commit.set()

    answers = await asyncio.gather(*waiting)
    await asyncio.gather(*first)

    assert script.sizes == [1] * group_commit.MAX_CONCURRENT_BATCHES + [6]
    for message, outcomes in zip(messages, answers, strict=True):
        assert ids(outcomes) == [command.command_id for command in message]


async def test_a_few_commands_wait_for_the_batch_in_flight(
    script: Script, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "OVERLAP_SECONDS", math.inf)
    script.may_commit.clear()
    work = [committer.submit(some(1)) for _ in range(group_commit.OVERLAP_COMMANDS)]
    await asyncio.sleep(0.01)
    work += [committer.submit(some(1)) for _ in range(group_commit.OVERLAP_COMMANDS - 1)]
    await asyncio.sleep(0.01)
    assert script.sizes == [group_commit.OVERLAP_COMMANDS]

    script.may_commit.set()
    await asyncio.gather(*work)
    assert script.sizes[1:] == [group_commit.OVERLAP_COMMANDS - 1]


async def test_many_commands_do_not_wait_for_the_batch_in_flight(
    script: Script, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "OVERLAP_SECONDS", math.inf)
    script.may_commit.clear()
    work = [committer.submit(some(1))]
    await asyncio.sleep(0.01)
    work += [committer.submit(some(1)) for _ in range(group_commit.OVERLAP_COMMANDS)]
    await asyncio.sleep(0.01)
    assert script.sizes == [1, group_commit.OVERLAP_COMMANDS]

    script.may_commit.set()
    await asyncio.gather(*work)


async def test_a_command_does_not_wait_for_a_batch_that_takes_long(
    script: Script, committer: Committer
) -> None:
    script.may_commit.clear()
    first = committer.submit(some(1))
    await asyncio.sleep(0)
    second = committer.submit(some(1))

    async def both_are_under_way() -> bool:
        return script.sizes == [1, 1]

    await eventually(both_are_under_way)
    script.may_commit.set()
    await asyncio.gather(first, second)


async def test_a_batch_has_a_bound(script: Script, committer: Committer) -> None:
    await all_batches_running(script, committer)
    waiting = [asyncio.ensure_future(committer.submit(some(100))) for _ in range(7)]
    await asyncio.sleep(0.01)
    script.may_commit.set()
    await asyncio.gather(*waiting)

    sizes = script.sizes[group_commit.MAX_CONCURRENT_BATCHES :]
    assert sum(sizes) == 700
    assert max(sizes) == MAX_BATCH_COMMANDS == 500


async def test_a_message_is_never_split(script: Script, committer: Committer) -> None:
    await all_batches_running(script, committer)
    waiting = [asyncio.ensure_future(committer.submit(some(70))) for _ in range(8)]
    await asyncio.sleep(0.01)
    script.may_commit.set()
    await asyncio.gather(*waiting)

    assert sorted(script.sizes[group_commit.MAX_CONCURRENT_BATCHES :]) == [70, 490]


async def test_due_users_go_with_the_batch(script: Script, committer: Committer) -> None:
    await committer.submit((), ["ann", "bob"])

    assert script.due == [["ann", "bob"]]


# --- faults that pass -----------------------------------------------------------------------


async def test_a_transient_error_is_waited_out_each_time_it_occurs(
    script: Script, committer: Committer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "LONGEST_PAUSE_SECONDS", 0.002)
    faults = iter([PassingError()] * 30)
    script.fault = lambda commands, due: next(faults, None)
    commands = some(3)

    async with asyncio.timeout(5):
        assert ids(await committer.submit(commands)) == [c.command_id for c in commands]
    assert script.sizes == [3] * 31


def test_the_pauses_double_up_to_a_bound_and_are_never_in_step() -> None:
    pauses = [pause for pause, _ in zip(group_commit._backoff(), range(12), strict=False)]
    longest = group_commit.LONGEST_PAUSE_SECONDS

    assert pauses[0] < 2 * group_commit.FIRST_PAUSE_SECONDS < longest
    assert all(0.5 * longest <= pause <= 1.5 * longest for pause in pauses[-3:])
    assert len(set(pauses)) == len(pauses)


async def test_a_conflict_with_another_worker_is_tried_again(
    script: Script, committer: Committer
) -> None:
    faults = iter([ConflictError()])
    script.fault = lambda commands, due: next(faults, None)

    (outcome,) = await committer.submit(some(1))

    assert decode(outcome).status == "succeeded"


async def test_a_conflict_that_does_not_pass_is_a_bug(script: Script, committer: Committer) -> None:
    script.fault = lambda commands, due: ConflictError()

    (outcome,) = await committer.submit(some(1))

    assert decode(outcome).refusal.code == "unprocessable"
    assert len(script.batches) == 1 + MAX_CONFLICTS + 1


class TooLongError(Exception):
    """A statement was cancelled because it took too long."""

    sqlstate = "57014"


@pytest.mark.parametrize("error", [TooLongError, TimeoutError])
async def test_a_batch_that_takes_too_long_is_halved_until_it_is_done(
    script: Script, committer: Committer, error: Callable[[], Exception]
) -> None:
    """A slow Postgres would never be done with all of it, and the more waits the slower it is."""
    script.fault = lambda commands, due: error() if len(commands) > 20 else None
    commands = some(64)

    async with asyncio.timeout(5):
        outcomes = await committer.submit(commands)

    assert ids(outcomes) == [command.command_id for command in commands]
    assert {decode(outcome).status for outcome in outcomes} == {"succeeded"}


async def test_a_command_that_takes_too_long_alone_is_waited_for(
    script: Script, committer: Committer
) -> None:
    errors = iter([TooLongError()] * 10)
    script.fault = lambda commands, due: next(errors, None)

    (outcome,) = await committer.submit(some(1))

    assert decode(outcome).status == "succeeded"


# --- faults that stay -----------------------------------------------------------------------


def failing_for(bad: Command, error: Callable[[], Exception] = ValueError) -> Any:
    return lambda commands, due: error() if bad in commands else None


@pytest.mark.parametrize("place", [0, 1, 31, 32, 63])
async def test_a_failing_command_is_narrowed_down_in_few_tries(
    script: Script, committer: Committer, place: int
) -> None:
    commands = some(64)
    script.fault = failing_for(commands[place])

    outcomes = await committer.submit(commands)

    outcomes = [decode(outcome) for outcome in outcomes]
    assert [outcome.command_id for outcome in outcomes] == [c.command_id for c in commands]
    refused = [number for number, outcome in enumerate(outcomes) if outcome.refusal]
    assert refused == [place]
    assert len(script.batches) <= 2 * math.log2(64) + 2


async def test_an_outcome_that_cannot_be_recorded_is_answered_all_the_same(
    script: Script, committer: Committer
) -> None:
    async def always_fails(*_: Any, **__: Any) -> AppliedBatch:
        raise ValueError

    committer._apply = always_fails

    (outcome,) = await committer.submit(some(1))

    outcome = decode(outcome)
    assert outcome.refusal.code == "unprocessable"
    assert outcome.decided_at is None


async def test_setting_aside_waits_out_passing_faults(script: Script, committer: Committer) -> None:
    faults = iter([ValueError(), PassingError(), PassingError()])

    async def apply(
        commands: Sequence[Command], due: Any, forced_refusal: Unprocessable | None = None
    ) -> AppliedBatch:
        if error := next(faults, None):
            raise error
        return applied(decide_batch(a_book(users=[SOMEBODY]), commands, {}, forced_refusal))

    committer._apply = apply

    (outcome,) = await committer.submit(some(1))

    assert decode(outcome).refusal.code == "unprocessable"
    assert decode(outcome).decided_at is not None


async def test_due_carts_that_cannot_expire_are_left_out_first(
    script: Script, committer: Committer
) -> None:
    script.fault = lambda commands, due: ValueError() if due else None

    (outcome,) = await committer.submit(some(1), [Due("somebody")])

    assert decode(outcome).status == "succeeded"
    assert await committer.submit((), [Due("somebody")]) == []


@pytest.mark.parametrize("place", [0, 31, 32, 63])
async def test_a_due_hold_that_cannot_end_holds_up_no_other(
    script: Script, committer: Committer, place: int, caplog: pytest.LogCaptureFixture
) -> None:
    """One that was damaged by hand must not end the sweep of all."""
    holds = [
        Due(f"buyer-{number}", f"order-{number}" if number % 2 else None) for number in range(64)
    ]
    damaged = holds[place]
    script.fault = lambda commands, due: ValueError() if damaged in due else None

    (outcome,) = await committer.submit(some(1), holds)

    ended = [hold for due in script.due if damaged not in due for hold in due]
    assert sorted(ended) == sorted(set(holds) - {damaged})
    assert decode(outcome).status == "succeeded"
    which = f"order order-{place}" if place % 2 else "the cart"
    assert f"the due hold of user buyer-{place} ({which}) cannot end" in caplog.text


# --- who waits, and the end -----------------------------------------------------------------


async def test_a_cancelled_waiter_does_not_harm_the_others(
    script: Script, committer: Committer
) -> None:
    await all_batches_running(script, committer)
    messages = [some(2) for _ in range(3)]
    tasks = [asyncio.ensure_future(committer.submit(message)) for message in messages]
    await asyncio.sleep(0.01)
    tasks[1].cancel()
    script.may_commit.set()

    async with asyncio.timeout(5):
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await committer.submit(some(1))

    assert isinstance(answers[1], asyncio.CancelledError)
    for number in (0, 2):
        assert ids(answers[number]) == [c.command_id for c in messages[number]]


async def test_stopping_abandons_undecided_commands(script: Script, committer: Committer) -> None:
    busy = await all_batches_running(script, committer)
    waiting = asyncio.ensure_future(committer.submit(some(1)))
    await asyncio.sleep(0.01)

    await committer.stop()

    async with asyncio.timeout(5):
        answers = await asyncio.gather(*busy, waiting, return_exceptions=True)
    assert {type(answer) for answer in answers} == {asyncio.CancelledError}
    assert script.sizes == [1] * group_commit.MAX_CONCURRENT_BATCHES
