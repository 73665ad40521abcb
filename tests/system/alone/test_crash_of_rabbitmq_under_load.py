"""RabbitMQ is killed or frozen under load: gateways notice it in time."""

import asyncio
import time

from dev.servers.private_rabbitmq import PrivateRabbitMQ
from tests.system.books import Books
from tests.system.clients import Site, succeeded
from tests.system.freezing import frozen, kill_at_once
from tests.system.private_broker import REFUSED_WITHIN_SECONDS, kill
from tests.system.rush import WAITS_SECONDS, Attempt, open_rush
from tests.system.traffic import recovers

DEAD_SECONDS = 4
UNCONFIRMED_WITHIN_SECONDS = 4.5
"""For a request while the broker is frozen: 3 s for the confirm, and a busy machine."""
FROZEN_SECONDS = 9
"""Short enough that many requests are refused before the broker is back."""


async def test_under_load_a_killed_broker_is_noticed_within_three_seconds(
    broker_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    rush = await open_rush(broker_site)
    async with rush:
        await rush.progress(100)
        killed_at = kill_at_once(rabbitmq.pid)
        await asyncio.sleep(DEAD_SECONDS)
    await kill(rabbitmq)
    await asyncio.to_thread(rabbitmq.start)
    await recovers(broker_site)
    before = [each for each in rush.attempts if each.begun_at <= killed_at < each.answered_at]
    after = [each for each in rush.attempts if each.begun_at > killed_at]

    assert before, "nothing was under way"
    assert max(each.seconds for each in after) <= REFUSED_WITHIN_SECONDS
    assert all(each.is_refused() for each in after)
    for each in before:
        # A confirmed command may await its outcome for as long as its client asked.
        patience_seconds = 0 if each.is_refused() else each.wait_seconds
        assert each.answered_at - killed_at <= REFUSED_WITHIN_SECONDS + patience_seconds
    async with Books(broker_site.deployment.database_url) as books:
        await rush.settle(books)


async def test_with_a_frozen_broker_a_gateway_answers_503_in_time_and_each_command_is_decided_once(
    broker_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    rush = await open_rush(broker_site)
    async with rush:
        await rush.progress(100)
        with frozen(rabbitmq.pid) as frozen_at:
            await asyncio.sleep(FROZEN_SECONDS)
            thawed_at = time.monotonic()
        await recovers(broker_site, within_seconds=15)
    meanwhile = [
        each
        for each in rush.attempts
        if frozen_at < each.begun_at < thawed_at - UNCONFIRMED_WITHIN_SECONDS
    ]
    assert max(each.seconds for each in meanwhile) <= UNCONFIRMED_WITHIN_SECONDS
    assert all(each.is_refused() for each in meanwhile)
    assert {each.wait_seconds for each in meanwhile} == set(WAITS_SECONDS)

    async with Books(broker_site.deployment.database_url) as books:
        await rush.settle(books)
        unknown = [each for each in rush.attempts if each.is_refused()]
        await asyncio.gather(*(decided_once(each) for each in unknown))
        await rush.settle(books)


async def decided_once(attempt: Attempt) -> None:
    """Repeat a command whose outcome is unknown, at both gateways."""
    one, other = await asyncio.gather(*(attempt.again(via) for via in (0, 1)))
    succeeded(one)
    assert one.json() == other.json()
