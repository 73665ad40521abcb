"""When commands leave, and how long a publish may take."""

import asyncio

import pytest

from gateway.messaging import publisher
from gateway.messaging.publisher import BrokerUnavailableError
from tests.gateway.conftest import Counter
from tests.gateway.messaging.publishing import command, fall_behind, received


async def test_no_confirm_in_time_is_told_to_all_who_stand_in_line(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
):
    await counter.queue()
    monkeypatch.setattr(publisher, "CONFIRM_TIMEOUT_SECONDS", 0.3)
    counter.proxy.hold()
    async with asyncio.timeout(2):
        answers = await asyncio.gather(
            *(counter.publisher.submit(command(), 10) for _ in range(1_000)),
            return_exceptions=True,
        )
    assert {type(answer) for answer in answers} == {BrokerUnavailableError}


async def test_small_loads_wait_a_moment_and_leave_together(counter: Counter):
    queue = await counter.queue()
    await fall_behind(counter)
    waiting = []
    for _ in range(10):
        waiting.append(asyncio.create_task(counter.publisher.submit(command(), 0)))
        await asyncio.sleep(publisher.LINGER_SECONDS / 50)
    async with asyncio.timeout(5):
        await asyncio.gather(*waiting)
    sizes = [len(message) for message in await received(queue)]
    assert sizes == [1] * publisher.BACKLOG_THRESHOLD_MESSAGES + [10]
