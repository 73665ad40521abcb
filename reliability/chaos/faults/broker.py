"""RabbitMQ killed, frozen, alarmed, stopped, cut off, and robbed of its queue."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import aio_pika

from reliability.chaos.checks.record import Record
from reliability.chaos.clients.http_buyers import UNAVAILABLE
from reliability.chaos.faults import network
from reliability.chaos.faults.context import Fault, FaultContext
from reliability.chaos.faults.processes import send
from shared.topology import COMMANDS_EXCHANGE, COMMANDS_QUEUE, COMMANDS_ROUTING_KEY

ALARM_SECONDS = 8.0
"""Much longer than a gateway awaits a confirm: three seconds."""
LAST_TAKEN_SECONDS = 0.5
"""After an alarm RabbitMQ still accepts one publish from each connection."""
CONNECT_SECONDS = 5.0
COPIES, COPIES_SECONDS = 3, 4.0
WITHIN_SECONDS = 15.0
NO_MEMORY, SOME_MEMORY = "0.000001", "0.4"
NO_DISK, SOME_DISK = "10000GB", "50MB"
WAYS = ("worker rabbitmq", "gateway rabbitmq")


async def kill(context: FaultContext) -> bool:
    await asyncio.to_thread(context.system.rabbit.kill)
    await asyncio.to_thread(context.system.rabbit.start)
    return True


async def restart(context: FaultContext) -> bool:
    await asyncio.to_thread(context.system.rabbit.restart)
    return True


async def freeze(context: FaultContext) -> bool:
    await context.system.all_ready()
    pids = context.system.rabbit_pids()
    send(pids, signal.SIGSTOP)
    async with _taking_nothing(context):
        await asyncio.sleep(context.long_pause_seconds)
    send(pids, signal.SIGCONT)
    return True


async def memory_alarm(context: FaultContext) -> bool:
    return await _alarm(context, "set_vm_memory_high_watermark", NO_MEMORY, SOME_MEMORY)


async def disk_alarm(context: FaultContext) -> bool:
    return await _alarm(context, "set_disk_free_limit", NO_DISK, SOME_DISK)


async def _alarm(context: FaultContext, setting: str, raised: str, lowered: str) -> bool:
    control = context.system.rabbit.control
    await context.system.all_ready()
    await asyncio.to_thread(control, setting, raised)
    try:
        async with _taking_nothing(context):
            await asyncio.sleep(ALARM_SECONDS)
    finally:
        await asyncio.to_thread(control, setting, lowered)
    return True


@asynccontextmanager
async def _taking_nothing(context: FaultContext) -> AsyncIterator[None]:
    """Add wrong responses of gateways to the findings while the broker accepts no publishes.

    All are to be ready by then: the first message of a new connection is taken in spite of an
    alarm.
    """
    since = time.monotonic()
    yield
    context.findings += wrong_answers(context.record, since, time.monotonic())


def wrong_answers(record: Record, since: float, until: float) -> Iterable[str]:
    """Row 13: while the broker accepts no publishes, 503 "unknown", and never a false 202."""
    answers = [answer for answer in record.at_the_door if since <= answer.at <= until]
    if all(answer.status != UNAVAILABLE for answer in answers):
        yield f"row 13: no gateway answered 503 in {until - since:.1f} s without the broker"
    for answer in answers:
        # The outcome of an earlier command may have been read from the database.
        is_new = answer.entry.began_at >= since + LAST_TAKEN_SECONDS
        if is_new and 200 <= answer.status < 300:
            yield f"row 13: {answer.entry.id} got {answer.status} while the broker took nothing"


async def restart_app(context: FaultContext) -> bool:
    for act in ("stop_app", "start_app"):
        await asyncio.to_thread(context.system.rabbit.control, act)
    return True


async def delete_queue(context: FaultContext) -> bool:
    connection = await aio_pika.connect(context.system.rabbit.url, timeout=CONNECT_SECONDS)
    async with connection:
        await (await connection.channel()).queue_delete(COMMANDS_QUEUE)
    return True


async def delete_binding(context: FaultContext) -> bool:
    connection = await aio_pika.connect(context.system.rabbit.url, timeout=CONNECT_SECONDS)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(COMMANDS_QUEUE, ensure=False)
        await queue.unbind(COMMANDS_EXCHANGE, COMMANDS_ROUTING_KEY)
    return True


async def triplicate(context: FaultContext) -> bool:
    """Publish every message of the queue's buyers three times, the copies out of order."""
    context.queue_client.copies = COPIES
    await asyncio.sleep(COPIES_SECONDS)
    context.queue_client.copies = 1
    return True


RESTARTS = (
    Fault("broker-kill", "broker", (12,), kill, WITHIN_SECONDS),
    Fault("broker-restart", "broker", (12,), restart, WITHIN_SECONDS),
)
FAULTS = (
    *RESTARTS,
    Fault("broker-freeze", "broker frozen", (13,), freeze, WITHIN_SECONDS),
    Fault("memory-alarm", "broker alarm", (13,), memory_alarm, WITHIN_SECONDS),
    Fault("disk-alarm", "broker alarm", (13,), disk_alarm, WITHIN_SECONDS),
    Fault("broker-app-restart", "broker", (14,), restart_app, WITHIN_SECONDS),
    Fault("binding-deleted", "queue gone", (15,), delete_binding, quiet=True),
    Fault("queue-deleted", "queue gone", (15,), delete_queue, quiet=True),
    Fault("broker-cut", "wires", (16,), network.cut(WAYS)),
    Fault("broker-stall", "wires", (), network.stall(WAYS)),
    Fault("triplicate", "copies", (26,), triplicate),
)
EXTRA = (Fault("broker-half-open", "half-open", (), network.half_open(WAYS), WITHIN_SECONDS),)
