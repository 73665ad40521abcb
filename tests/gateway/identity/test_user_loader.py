"""Looking up users: many with one query, and each look-up gets its own user."""

import asyncio

import pytest

from gateway.http.problems import ProblemError
from gateway.identity import user_loader
from gateway.identity.user_loader import UserLoader
from shared.ids import new_id
from shared.outcomes import User


class Database:
    """Knows some users, answers once it is released, and records the queries."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)
        self.queries: list[list[str]] = []
        self.released = asyncio.Event()
        self.error: Exception | None = None

    async def find_many(self, ids: list[str]) -> list[User]:
        self.queries.append(ids)
        await self.released.wait()
        if self.error is not None:
            raise self.error
        return [User(each, "ada@example.com") for each in ids if each in self.ids]


async def test_look_ups_during_a_query_share_the_next_one():
    ids = [new_id() for _ in range(50)]
    database = Database(*ids[:40])
    users = UserLoader(database.find_many)
    first = asyncio.create_task(users.find(ids[0]))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    others = [asyncio.create_task(users.find(each)) for each in [*ids, *ids]]
    await asyncio.sleep(0)
    database.released.set()
    found = await asyncio.gather(*others)
    assert [user.id if user else None for user in found] == [*ids[:40], *[None] * 10] * 2
    assert (await first) == User(ids[0], "ada@example.com")
    # The user of the first query too: it may have been registered since.
    assert database.queries == [[ids[0]], ids]


async def test_a_query_has_a_bound(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(user_loader, "MAX_IDS_PER_QUERY", 3)
    ids = [new_id() for _ in range(8)]
    database = Database(*ids)
    database.released.set()
    users = UserLoader(database.find_many)
    found = await asyncio.gather(*(users.find(each) for each in ids))
    assert [user.id for user in found if user] == ids
    assert [len(each) for each in database.queries] == [3, 3, 2]


async def test_a_failed_query_fails_its_own_look_ups_only():
    database = Database(known := new_id())
    database.released.set()
    database.error = ProblemError("database_unavailable")
    users = UserLoader(database.find_many)
    failed = await asyncio.gather(
        *(users.find(each) for each in (known, new_id())), return_exceptions=True
    )
    assert failed == [database.error] * 2
    database.error = None
    assert await users.find(known) is not None


async def test_a_cancelled_look_up_does_not_end_the_others():
    database = Database(known := new_id())
    users = UserLoader(database.find_many)
    cancelled, other = (asyncio.create_task(users.find(known)) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    database.released.set()
    assert await other is not None
    await asyncio.sleep(0)
    assert users._task is None
    assert users._waiting == {}
