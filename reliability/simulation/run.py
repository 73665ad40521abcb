"""Runs one seed: workers, clients and faults, from the first command to the last answer."""

import asyncio
import gc
import logging
import random as global_random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import blake2b
from random import Random

from reliability.simulation.checks.invariants import (
    LONGEST_OVERDUE,
    Order,
    ReplyMonitor,
    check_invariants,
    order_of_decisions,
)
from reliability.simulation.checks.model import Model
from reliability.simulation.checks.state import State
from reliability.simulation.clients.clients import Clients
from reliability.simulation.fakes.broker import Broker
from reliability.simulation.fakes.postgres import restart
from reliability.simulation.fakes.tables import Database
from reliability.simulation.fakes.virtual_time import NothingLeftError, VirtualLoop, run
from reliability.simulation.faults import Faults
from reliability.simulation.worker import Worker
from worker.domain.book import Rules

COMMAND_WINDOW = timedelta(seconds=20)
STORM_SECONDS = 20.0
"""How long things go wrong at most."""
PATIENCE_SECONDS = 300.0
"""How long it may take, on the virtual clock, until everything is answered."""
MAX_TRACE_LINES = 10_000


@dataclass
class Verdict:
    """What came of a seed."""

    seed: int
    commands: int = 0
    violations: list[str] = field(default_factory=list)
    trace: list[str] = field(default_factory=list)
    digest: str = ""
    """Of the history: equal for equal runs."""


def simulate(seed: int, *, trace: bool = False) -> Verdict:
    """Run a seed and check the invariants."""
    verdict = Verdict(seed)
    # The committer and the sweep draw their pauses from the one of the module.
    global_random.seed(seed)
    with _quiet_worker(), _no_collections(), order_of_decisions() as order:
        try:
            run(lambda loop: _Run(loop, seed, verdict, trace).open(order))
        except NothingLeftError:
            verdict.violations.append("deadlock: all tasks wait, and no timer is left")
    return verdict


@contextmanager
def _quiet_worker() -> Iterator[None]:
    """Suppress the worker's log, which thousands of faults would fill."""
    logger = logging.getLogger("worker")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextmanager
def _no_collections() -> Iterator[None]:
    """Keep the collector from running while a seed does.

    When it runs depends on what the process did before, and it tells of tasks that were pending
    when their worker was killed. To look for cycles also costs a tenth of a seed's time. What is
    left is cleared away before the next: asyncio keeps every task in one set, and would look at all
    of them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.collect(0)
        if was_enabled:
            gc.enable()


class _Run:
    """All parts of a run."""

    def __init__(self, loop: VirtualLoop, seed: int, verdict: Verdict, trace: bool) -> None:
        self._loop = loop
        self._verdict = verdict
        self._traces = trace
        self._random = random = Random(seed)
        hold = timedelta(seconds=random.choice((0.5, 1.5, 3)))
        self._rules = Rules(
            hold=hold,
            max_hold=1.5 * hold,
            payment=2 * hold,
            payment_grace=0.5 * hold,
            command_window=COMMAND_WINDOW,
        )
        self._faults = Faults(Random(random.getrandbits(64)), self._note)
        self._database = Database(loop.now, Random(random.getrandbits(64)))
        self._clients = Clients(loop, Random(random.getrandbits(64)), self._database)
        self._monitor = ReplyMonitor(self._database)
        self._broker = Broker(
            self._faults, self._monitor, self._clients.take_reply, Random(seed).randrange
        )
        self._model = Model(State(self._database.tables), self._rules)
        self._workers: list[Worker] = []
        loop.set_exception_handler(self._on_error)

    async def open(self, order: Order) -> None:
        for number in range(self._random.randint(1, 3)):
            self._start_worker(number)
        supervising = asyncio.ensure_future(self._supervise())
        breaking = asyncio.ensure_future(self._break_things())
        self._loop.call_later(STORM_SECONDS, self._faults.rest)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await self._sell()
                self._faults.rest()
                await breaking
                await self._settle()
        except TimeoutError:
            self._verdict.violations.append("I14: not everything is answered in the end")
        supervising.cancel()
        self._close(order)

    def _close(self, order: Order) -> None:
        verdict = self._verdict
        findings = check_invariants(self._model, self._database, self._broker, self._clients, order)
        verdict.violations += [*self._monitor.violations, *findings]
        verdict.commands = len(self._clients.record)
        history = [row.document for done in self._database.history for row in done.outcomes]
        verdict.digest = blake2b("".join(history).encode(), digest_size=8).hexdigest()

    async def _sell(self) -> None:
        """Let all clients send their commands, and await the answers."""
        visitors = self._random.randint(1, 4)
        commands = self._random.choice((2, 5, 10, 15))
        await asyncio.gather(
            *(self._clients.visit(self._broker, commands) for _ in range(visitors))
        )

    async def _settle(self) -> None:
        """Wait until nothing is in the queue and no hold is left that is over."""
        while any(worker.stands_still for worker in self._workers):
            await asyncio.sleep(0.1)
        in_health_since = self._loop.now()
        while self._broker.ready or self._broker.unacknowledged or self._database.open:
            await asyncio.sleep(0.1)
        while due_at := list(self._due(in_health_since)):
            if min(due_at) + LONGEST_OVERDUE < self._loop.now():
                self._verdict.violations.append("I9: a hold is overdue for more than 5 s")
                return
            await asyncio.sleep(0.2)

    def _due(self, in_health_since: datetime) -> Iterator[datetime]:
        """When each cart, each pending order and each order of a cancelled event is to end."""
        tables = self._database.tables
        for cart in tables["carts"].values():
            if cart.status == "active":
                yield max(cart.expires_at, in_health_since)
        for order in tables["orders"].values():
            is_pending = order.status == "pending_payment"
            if tables["events"][order.event_id].status == "cancelled":
                if is_pending or order.status == "paid":
                    yield in_health_since
            elif is_pending:
                yield max(order.held_until, in_health_since)

    # --- faults --------------------------------------------------------------------

    async def _break_things(self) -> None:
        """Now and then take Postgres, the broker or a worker away."""
        while not self._faults.rests:
            await asyncio.sleep(self._random.expovariate(0.5))
            match self._random.randrange(4):
                case 0:
                    self._note("postgres", "restarts")
                    self._database.is_down = True
                    restart(self._database)
                    await asyncio.sleep(2 * self._random.random())
                    self._database.is_down = False
                case 1:
                    self._note("broker", "restarts")
                    self._broker.is_down = True
                    for channel in list(self._broker.channels):
                        channel.drop()
                    await asyncio.sleep(2 * self._random.random())
                    self._broker.is_down = False
                case 2:
                    self._note("worker", "killed")
                    self._random.choice(self._workers).kill()
                case _:
                    worker = self._random.choice(self._workers)
                    self._note(worker.name, "told to stop")
                    worker.stop()

    async def _supervise(self) -> None:
        """Replace workers that have ended."""
        while True:
            await asyncio.sleep(0.3)
            for number, worker in enumerate(self._workers):
                if worker.is_dead:
                    if worker.broke_its_promise:
                        self._verdict.violations.append("11: told to stop, it left messages behind")
                    self._start_worker(number)

    def _start_worker(self, number: int) -> None:
        worker = Worker(f"worker {number}", self._database, self._broker, self._faults, self._rules)
        self._workers[number : number + 1] = [worker]

    # --- report -----------------------------------------------------------------------

    def _note(self, who: str, what: str) -> None:
        if self._traces and len(self._verdict.trace) < MAX_TRACE_LINES:
            self._verdict.trace.append(f"{self._loop.time():9.4f}  {who:<10} {what}")

    def _on_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        self._verdict.violations.append(f"unhandled: {context['message']}: {error!r}")
