"""Questions asked at the same time share an answer that is never older than they are."""

import asyncio

import pytest

from gateway.read_model.single_flight import SingleFlight


class Database:
    """Answers with how often it was asked, when told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.may_answer = asyncio.Event()

    async def ask(self) -> int:
        self.asked += 1
        answer = self.asked
        await self.may_answer.wait()
        return answer


async def test_callers_during_a_read_share_the_next_one():
    database, reads = Database(), SingleFlight[int]()
    first = asyncio.create_task(reads.read("page", database.ask))
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(reads.read("page", database.ask)) for _ in range(100)]
    await asyncio.sleep(0.01)
    assert database.asked == 1
    database.may_answer.set()
    assert await first == 1
    assert await asyncio.gather(*later) == [2] * 100
    assert await reads.read("page", database.ask) == 3


async def test_other_questions_do_not_wait():
    database, reads = Database(), SingleFlight[int]()
    asked = [asyncio.create_task(reads.read(page, database.ask)) for page in range(3)]
    await asyncio.sleep(0.01)
    assert database.asked == 3
    database.may_answer.set()
    assert await asyncio.gather(*asked) == [1, 2, 3]


async def test_an_error_reaches_all_callers_and_is_not_kept():
    reads = SingleFlight[int]()

    async def fail() -> int:
        raise OSError

    answers = await asyncio.gather(
        *(reads.read("page", fail) for _ in range(3)), return_exceptions=True
    )
    assert [type(answer) for answer in answers] == [OSError] * 3
    database = Database()
    database.may_answer.set()
    assert await reads.read("page", database.ask) == 1


async def test_a_caller_that_leaves_does_not_end_the_read_for_others():
    database, reads = Database(), SingleFlight[int]()
    leaving, staying = [asyncio.create_task(reads.read("page", database.ask)) for _ in range(2)]
    await asyncio.sleep(0.01)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    database.may_answer.set()
    assert await staying == 1
    assert (reads._in_progress, reads._next) == ({}, {})
