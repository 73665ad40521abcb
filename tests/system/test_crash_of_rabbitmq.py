"""RabbitMQ is killed or frozen and comes back: no command is lost or applied twice."""

import asyncio
import time

from dev.servers.private_rabbitmq import PrivateRabbitMQ
from shared.ids import new_id
from tests.deployment import Process
from tests.system.amqp import Queue
from tests.system.books import Books
from tests.system.clients import Site, eventually, is_live, refused, succeeded
from tests.system.freezing import frozen
from tests.system.private_broker import REFUSED_WITHIN_SECONDS, kill
from tests.system.rush import open_rush
from tests.system.traffic import audited, open_traffic, recovers

UNDER_WAY_SECONDS = 0.5


async def test_a_killed_broker_loses_no_accepted_command_and_applies_none_twice(
    broker_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    async with Queue(rabbitmq.url) as queue:
        traffic = await open_traffic(broker_site, queue)
    rush = await open_rush(broker_site)
    async with Books(broker_site.deployment.database_url) as books:
        async with audited(books), traffic:
            await traffic.progress()
            async with rush:
                await rush.progress(100)
                # Enough traffic that commands are at every step.
                with frozen(rabbitmq.pid):
                    await asyncio.sleep(UNDER_WAY_SECONDS)
                    await kill(rabbitmq)
            await asyncio.to_thread(rabbitmq.start)
            await recovers(broker_site)
            await traffic.progress()
        assert traffic.unknown, "the kill went unnoticed"
        await traffic.audit(books)
        await rush.settle(books)


async def test_without_a_broker_a_gateway_answers_503_and_recovers_by_itself(
    broker_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    organizer = await broker_site.organizer()
    tickets = await organizer.sale(total=4)
    key = new_id()
    before = succeeded(await organizer.reserve(tickets))["cart"]
    await kill(rabbitmq)

    for _ in range(5):
        for via in (0, 1):
            for prefer in ("respond-async", "wait=10", None):
                started = time.monotonic()
                answer = await organizer.reserve(tickets, key=key, via=via, prefer=prefer)
                assert refused(answer, 503, "broker_unavailable") == {"command_id": key}
                assert int(answer.headers["retry-after"]) >= 1
                assert time.monotonic() - started < REFUSED_WITHIN_SECONDS
    # Requests that need no broker are served.
    assert await organizer.cart() == before
    assert (await organizer.poll(key))["status"] == "pending"
    for process in broker_site.deployment.gateways:
        assert (await broker_site.http.get(f"{process.url}/health/ready")).status_code == 503
        assert (await broker_site.http.get(f"{process.url}/health/live")).status_code == 200

    await asyncio.to_thread(rabbitmq.start)
    for process in broker_site.deployment.gateways + broker_site.deployment.workers:
        await process.ready()  # by itself, without a restart
    await recovers(broker_site)
    answers = await asyncio.gather(
        *(organizer.reserve(tickets, key=key, via=via) for via in (0, 1))
    )
    assert succeeded(answers[0]) == succeeded(answers[1])
    # The recovery check has emptied the cart.
    assert await organizer.holds() == {tickets: 1}


async def test_a_gateway_started_before_the_broker_becomes_ready_with_it(
    broker_site: Site, rabbitmq: PrivateRabbitMQ
) -> None:
    organizer = await broker_site.organizer()
    gateway, worker = broker_site.deployment.gateways[0], broker_site.deployment.workers[0]
    await kill(rabbitmq)
    await asyncio.gather(gateway.kill(), worker.kill())
    await asyncio.gather(gateway.launch(), worker.launch())

    await eventually(lambda: is_live(gateway, broker_site.http), bool, within_seconds=20)
    assert (await broker_site.http.get(f"{gateway.url}/health/ready")).status_code == 503
    refused(await organizer.release(via=0, prefer="wait=5"), 503, "broker_unavailable")
    # A worker may also wait, or end so that it is restarted; it must not exit with 0.
    code = await ended_within(worker, 10)
    assert code != 0

    await asyncio.to_thread(rabbitmq.start)
    if code is not None:
        await worker.start()
    for process in broker_site.deployment.gateways + broker_site.deployment.workers:
        await process.ready()
    await recovers(broker_site)


async def ended_within(process: Process, seconds: float) -> int | None:
    """Return the exit code of a process, or None if it is still running after that time."""
    try:
        async with asyncio.timeout(seconds):
            return await process.ended()
    except TimeoutError:
        return None
