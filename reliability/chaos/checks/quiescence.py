"""Waits until the system is quiescent, reads its state, and checks every invariant."""

import asyncio
import json
import subprocess
import time
from collections.abc import Iterable, Sequence
from itertools import islice

import aio_pika
import httpx

from dev.servers.private_rabbitmq import VHOST, PrivateRabbitMQ
from reliability.chaos.checks import invariants
from reliability.chaos.checks.database import Database
from reliability.chaos.checks.invariants import MAX_FINDINGS_EACH, Written
from reliability.chaos.checks.record import Document, Record
from reliability.chaos.checks.recovery import Recoveries
from reliability.chaos.checks.replay import replay
from reliability.chaos.clients.workload import Workload
from reliability.chaos.system.service import Service
from reliability.chaos.system.system_under_test import SystemUnderTest
from shared.topology import COMMANDS_QUEUE, DEAD_QUEUE
from worker.audit.snapshot import SNAPSHOT_ERRORS

DRAIN_SECONDS = 30.0
POLL_SECONDS = 0.5
SWEPT_SECONDS = 3.0
CHUNK = 5_000
CONNECT_SECONDS = 5.0
LOG_LINES = 20
WAITING_GAUGES = ("holdfast_awaiting_reply", "holdfast_awaiting_outcome")
IN_USE_GAUGE = "holdfast_database_connections_in_use"
IN_USE_SECONDS = 5.0
"""A sweep and a health check use a connection for an instant, so a process is looked at again."""


async def check_at_rest(
    system: SystemUnderTest,
    database: Database,
    record: Record,
    recoveries: Recoveries,
    workload: Workload,
) -> list[str]:
    """Return the violations; call it when no client sends any more."""
    for proxy in system.proxies.values():
        proxy.forget_the_dead()
    found = [f"I14: {name} is not ready again" for name in await system.all_ready()]
    found += await drained(system)
    written = await _read(database, record)
    played = await asyncio.to_thread(replay, record.by_user, written.outcomes)
    queues = await asyncio.to_thread(queue_lengths, system)
    dead = await _dead_letters(system)
    totals = workload.totals()
    for findings in (
        invariants.i3_what_was_accepted_has_one_outcome(record, written),
        invariants.i4_nothing_else_took_effect(record, written),
        invariants.i5_carts_are_what_succeeded(record, written, played),
        invariants.i6_another_payload_changes_nothing(record, written),
        invariants.i7_all_clients_get_the_same_outcome(record, written),
        invariants.i8_what_was_refused_stays_refused(record, written),
        invariants.i9_i10_decided_by_the_rules(record, written, played, totals),
        invariants.i11_nothing_is_left_in_the_queue(queues, dead, record, written),
        invariants.i13_the_pools_are_back(await _lent_out(system), await database.sessions()),
        invariants.i14_everything_recovers(recoveries),
        await _leaks(system),
        await _unbalanced(database),
    ):
        found += some(findings)
    return found


async def drained(system: SystemUnderTest) -> list[str]:
    """Wait until the queue of commands is empty and everything is acknowledged."""
    give_up_at = time.monotonic() + DRAIN_SECONDS
    while any((lengths := (await asyncio.to_thread(queue_lengths, system)))[COMMANDS_QUEUE]):
        if time.monotonic() > give_up_at:
            return [f"I11: after {DRAIN_SECONDS:.0f} s the queue still keeps {lengths}"]
        await asyncio.sleep(POLL_SECONDS)
    return []


def queue_lengths(system: SystemUnderTest) -> dict[str, tuple[int, int]]:
    """Ready and unacknowledged messages, by queue."""
    columns = ("name", "messages_ready", "messages_unacknowledged")
    how = ("list_queues", "-p", VHOST, "--formatter", "json")
    rows = json.loads(system.rabbit.control(*how, *columns))
    lengths = {row[columns[0]]: (row[columns[1]], row[columns[2]]) for row in rows}
    return {COMMANDS_QUEUE: (0, 0)} | lengths


def broker_state(rabbit: PrivateRabbitMQ) -> list[str]:
    """What an engineer needs to see of a broker behind which the system did not recover."""
    columns = ("name", "state", "messages_ready", "messages_unacknowledged", "consumers")
    questions = (
        ("eval", "rabbit_alarm:get_alarms()."),
        ("list_queues", "-p", VHOST, *columns),
        ("list_connections", "name", "state"),
    )
    lines: list[str] = []
    for question in questions:
        try:
            lines += rabbit.control(*question).splitlines()
        except subprocess.SubprocessError as error:
            lines.append(f"{question[0]}: {error}")
    return lines + rabbit.last_log_lines(LOG_LINES)


async def _read(database: Database, record: Record) -> Written:
    documents: dict[str, str] = {}
    ids = iter(record.entries)
    while chunk := list(islice(ids, CHUNK)):
        documents |= await database.documents(chunk)
    users = list(record.by_user)
    recorded_ids = frozenset(await database.recorded_by(users))
    now, carts = await database.carts(users)
    outcomes = {id: json.loads(document) for id, document in documents.items()}
    return Written(documents, outcomes, recorded_ids, now, carts)


async def _dead_letters(system: SystemUnderTest) -> list[Document]:
    """Take all dead letters; return their commands."""
    found: list[Document] = []
    connection = await aio_pika.connect(system.rabbit.url, timeout=CONNECT_SECONDS)
    async with connection:
        channel = await connection.channel()
        queue = await channel.get_queue(DEAD_QUEUE, ensure=False)
        while (letter := await queue.get(fail=False)) is not None:
            found += json.loads(letter.body)
            await letter.ack()
    return found


async def _leaks(system: SystemUnderTest) -> list[str]:
    """Fault 4: a client that disconnected has left nothing behind."""
    return [
        f"fault 4: {process} has {name} {value}"
        for name in WAITING_GAUGES
        for process, value in (await _gauges(system.gateways, name)).items()
        if value != 0
    ]


async def _lent_out(system: SystemUnderTest) -> dict[str, float]:
    """The connections to Postgres that each process uses at every look though it is at rest."""
    give_up_at = time.monotonic() + IN_USE_SECONDS
    lent_out = await _gauges(system.workers + system.gateways, IN_USE_GAUGE)
    while any(lent_out.values()) and time.monotonic() < give_up_at:
        await asyncio.sleep(POLL_SECONDS)
        found = await _gauges(system.workers + system.gateways, IN_USE_GAUGE)
        lent_out = {name: min(number, found[name]) for name, number in lent_out.items()}
    return lent_out


async def _gauges(services: Sequence[Service], name: str) -> dict[str, float]:
    """The gauge with this name of each process; NaN if it has none."""
    values = {}
    async with httpx.AsyncClient(trust_env=False) as http:
        for service in services:
            metrics = (await http.get(f"{service.url}/metrics")).text.splitlines()
            lines = dict(line.rsplit(" ", 1) for line in metrics if not line.startswith("#"))
            values[service.name] = float(lines.get(name, "nan"))
    return values


async def _unbalanced(database: Database) -> Iterable[str]:
    """I1, I2 and I9, once more, now that the sweep has had its time."""
    await asyncio.sleep(SWEPT_SECONDS)
    try:
        report = await database.audit()
    except SNAPSHOT_ERRORS as error:
        return [f"I14: the database cannot be read: {error!r}"]
    return [f"I1, I2, I9: {each.check} {each.subject}: {each.detail}" for each in report.findings]


def some(findings: Iterable[str]) -> list[str]:
    """The first few, and how many more there are."""
    all_of_them = list(findings)
    some = all_of_them[:MAX_FINDINGS_EACH]
    if more := len(all_of_them) - len(some):
        some.append(f"{some[-1].partition(':')[0]}: and {more} more")
    return some
