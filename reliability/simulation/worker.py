"""A worker process: the real consumer, committer, unit of work, answers and sweep, wired as in
`worker.__main__`, on a broker and a database in memory."""

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, cast

from reliability.simulation.fakes.broker import Broker, Channel
from reliability.simulation.fakes.postgres import Engine
from reliability.simulation.fakes.tables import Database
from reliability.simulation.fakes.virtual_time import RUNNING
from reliability.simulation.faults import Faults, forever
from worker import apply as unit_of_work
from worker.committer import Committer
from worker.domain.book import Rules
from worker.messaging import consumer as consuming
from worker.messaging.reading import Answer, read_entries
from worker.messaging.replies import ReplySender
from worker.operations.cancelled_events import cancel_orders
from worker.operations.sweep import sweep
from worker.poison_messages import (
    PoisonSuspects,
    decide_messages,
    refuse_message,
    refuse_unread_message,
    split_message,
)

if TYPE_CHECKING:
    from faststream.rabbit import RabbitBroker
    from sqlalchemy.ext.asyncio import AsyncEngine

RECONNECT_SECONDS = 0.5
CONFIRM_SECONDS = 0.05


class Worker:
    """Runs from its creation until it is killed or stopped."""

    def __init__(
        self, name: str, database: Database, broker: Broker, faults: Faults, rules: Rules
    ) -> None:
        self.name = name
        self.faults = faults
        self.tasks: list[asyncio.Task[Any]] = []
        self.is_dead = False
        self.broke_its_promise = False
        """Whether it stopped with unanswered messages."""
        self._broker = broker
        self._resumed: asyncio.Event | None = None
        self._channel: Channel | None = None
        self._engine = Engine(database, self)
        self.database = database
        self.rules = rules
        self._run(self._start)

    def kill(self) -> None:
        """End as after SIGKILL: nothing is tidied up, and no task gets a word in."""
        self.is_dead = True
        for task in self.tasks:
            task.cancel()
        self.cut_channel()

    @property
    def stands_still(self) -> bool:
        return self._resumed is not None and not self.is_dead

    def pause(self, seconds: float) -> None:
        """Stand still, holding on to everything, as after SIGSTOP."""
        if self._resumed is None:
            self._resumed = resumed = asyncio.Event()
            asyncio.get_running_loop().call_later(seconds, self._resume, resumed)

    def cut_channel(self) -> None:
        if self._channel is not None:
            self._channel.drop()

    async def go_on(self) -> None:
        """Continue, unless the process is paused or dead."""
        if self._resumed is not None:
            await self._resumed.wait()
        if self.is_dead:
            await forever()

    def stop(self) -> "asyncio.Task[None]":
        """End as after SIGTERM."""
        stopping: asyncio.Task[None] = self._run(lambda: asyncio.ensure_future(self._stop()))
        return stopping

    def _run(self, function: Callable[[], Any]) -> Any:
        """Run a function so that the tasks which it starts belong to this process."""
        context = copy_context()
        context.run(RUNNING.set, self)
        return context.run(function)

    def _start(self) -> None:
        engine = cast("AsyncEngine", self._engine)
        self._committer = Committer(functools.partial(unit_of_work.apply, engine, self.rules))
        self._replies = ReplySender()
        broker = cast("RabbitBroker", _Subscriptions(self._broker, self))
        self._consumer = consuming.Consumer(
            broker, self._committer, self._replies, PoisonSuspects(Isolation(self))
        )
        self._committer.start()
        self._sending = self._spawn(self._replies.send())
        self._sweeping = self._spawn(sweep(engine, self._committer))
        self._cancelling = self._spawn(cancel_orders(engine, self._committer))
        self._spawn(self._consume())

    def _spawn(self, coroutine: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
        return asyncio.ensure_future(coroutine)

    async def _consume(self) -> None:
        """Connect and reconnect, as FastStream does."""
        while True:
            if not self._broker.is_down:
                self._channel = Channel(self._broker, self, consuming.PREFETCH_MESSAGES)
                await self._channel.deliveries(self._consumer.handle)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _stop(self) -> None:
        began, channel = asyncio.get_running_loop().time(), self._channel
        # One that is opened later is cancelled once it has brought something, and may bring more.
        known = channel is not None and not channel.is_closed and channel.has_delivered
        await self._consumer.drain()
        in_time = asyncio.get_running_loop().time() - began < consuming.DRAIN_SECONDS
        if known and in_time and channel is not None and not channel.is_closed:
            self.broke_its_promise = bool(channel.unacknowledged)
        self._sweeping.cancel()
        self._cancelling.cancel()
        self._sending.cancel()
        await self._committer.stop()
        self.is_dead = True
        self.cut_channel()
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()

    def _resume(self, resumed: asyncio.Event) -> None:
        self._resumed = None
        resumed.set()


class Fork:
    """A process of a worker that carries one request out, and may die alone."""

    def __init__(self, worker: Worker) -> None:
        self.name = f"{worker.name}'s fork"
        self.faults = worker.faults
        self.tasks: list[asyncio.Task[Any]] = []
        self.is_dead = False
        self._worker = worker
        self._result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def run(self, operation: Callable[[Committer], Awaitable[Any]]) -> Any:
        """Return the result of `operation`, or None where the fork died."""
        context = copy_context()
        context.run(RUNNING.set, self)
        context.run(asyncio.ensure_future, self._execute(operation))
        try:
            return await self._result
        finally:
            self.kill()

    async def _execute(self, operation: Callable[[Committer], Awaitable[Any]]) -> None:
        engine = cast("AsyncEngine", Engine(self._worker.database, self))
        committer = Committer(functools.partial(unit_of_work.apply, engine, self._worker.rules))
        committer.start()
        result = await operation(committer)
        if not self._result.done():
            self._result.set_result(result)

    def kill(self) -> None:
        self.is_dead = True
        for task in self.tasks:
            task.cancel()
        if not self._result.done():
            self._result.set_result(None)

    def pause(self, seconds: float) -> None:
        """Ends it: the fork server kills a fork that stops sending heartbeats."""
        self.kill()

    def cut_channel(self) -> None:
        """It has none."""

    async def go_on(self) -> None:
        if self.is_dead:
            await forever()


class Isolation:
    """`worker.isolation` without processes of the operating system."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker

    async def decide(self, bodies: Sequence[bytes]) -> list[list[Answer]] | None:
        async def operation(committer: Committer) -> list[list[Answer]]:
            return await decide_messages(committer.submit, bodies)

        result: list[list[Answer]] | None = await Fork(self._worker).run(operation)
        return result

    async def refuse(self, body: bytes) -> list[Answer] | None:
        async def operation(committer: Committer) -> list[Answer]:
            return await refuse_message(committer.refuse, body)

        ids = {entry.command_id for entry in read_entries(body) if entry.command_id}
        self._worker.database.given_up |= ids
        result: list[Answer] | None = await Fork(self._worker).run(operation)
        return result

    async def refuse_unread(self, body: bytes) -> list[Answer] | None:
        async def operation(committer: Committer) -> list[Answer]:
            return await refuse_unread_message(committer.refuse, body)

        result: list[Answer] | None = await Fork(self._worker).run(operation)
        return result

    async def split(self, body: bytes) -> list[bytes] | None:
        return split_message(body)


class _Subscriptions:
    """`RabbitBroker` as far as the consumer and the dead letters know it."""

    def __init__(self, broker: Broker, worker: Worker) -> None:
        self._broker = broker
        self._worker = worker
        self.consume: Any = None

    def subscriber(self, *_: Any, **__: Any) -> "_Subscriptions":
        return self

    def __call__(self, handle: Any) -> Any:
        return handle

    async def publish(self, body: bytes, *_: Any, **__: Any) -> None:
        """Take a dead letter, and confirm it."""
        await self._worker.go_on()
        await self._worker.faults.at("before dead letter", self._worker)
        await asyncio.sleep(self._worker.faults.delay(CONFIRM_SECONDS))
        if self._broker.is_down or self._worker.faults.loses():
            raise ConnectionError
        self._broker.dead_letters.append(body)
        if self._worker.faults.loses():
            raise ConnectionError
