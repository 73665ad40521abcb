"""Looking up users: many at a time, and each gets their own answer."""

import asyncio

import pytest

from gateway.http.problems import ProblemError
from gateway.identity import user_loader
from gateway.identity.user_loader import UserLoader
from shared.ids import new_id
from shared.outcomes import User


class Database:
    """Knows some users, answers when it is told to, and keeps the questions."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)
        self.questions: list[list[str]] = []
        self.may_answer = asyncio.Event()
        self.error: Exception | None = None

    async def find_many(self, ids: list[str]) -> list[User]:
        self.questions.append(ids)
        await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        return [User(each, "ada@example.com") for each in ids if each in self.ids]


async def test_who_comes_during_a_question_goes_along_with_the_next():
    ids = [new_id() for _ in range(50)]
    database = Database(*ids[:40])
    users = UserLoader(database.find_many)
    first = asyncio.create_task(users.find(ids[0]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(users.find(each)) for each in [*ids, *ids]]
    await asyncio.sleep(0)
    database.may_answer.set()
    answers = await asyncio.gather(*others)
    assert [user.id if user else None for user in answers] == [*ids[:40], *[None] * 10] * 2
    assert (await first) == User(ids[0], "ada@example.com")
    # Also who was asked for in the first one: they may have been registered since.
    assert database.questions == [[ids[0]], ids]


async def test_a_question_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(user_loader, "MAX_IDS_A_QUESTION", 3)
    ids = [new_id() for _ in range(8)]
    database = Database(*ids)
    database.may_answer.set()
    users = UserLoader(database.find_many)
    answers = await asyncio.gather(*(users.find(each) for each in ids))
    assert [user.id for user in answers if user] == ids
    assert [len(each) for each in database.questions] == [3, 3, 2]


async def test_a_failure_is_told_to_those_who_asked_and_to_nobody_later():
    database = Database(known := new_id())
    database.may_answer.set()
    database.error = ProblemError("database_unavailable")
    users = UserLoader(database.find_many)
    failed = await asyncio.gather(
        *(users.find(each) for each in (known, new_id())), return_exceptions=True
    )
    assert failed == [database.error] * 2
    database.error = None
    assert await users.find(known) is not None


async def test_who_leaves_takes_nobody_along():
    database = Database(known := new_id())
    users = UserLoader(database.find_many)
    leaves, stays = (asyncio.create_task(users.find(known)) for _ in range(2))
    await asyncio.sleep(0)
    leaves.cancel()
    database.may_answer.set()
    assert await stays is not None
    await asyncio.sleep(0)
    assert users._asking is None
    assert users._asked == {}
