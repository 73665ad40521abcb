"""Many connections to one gateway: open loop on a schedule, or closed loop."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from loadtest.http.connection import Target
from loadtest.overload.connection import COMMAND_ID, RETRY_AFTER, Connection
from loadtest.overload.tally import MAX_PENDING_KEPT, Findings, Tally

CONNECTING_AT_A_TIME = 100
TICK_SECONDS = 0.002
ANSWER_SECONDS = 30.0
DRAIN_SECONDS = 40.0
WAIT_SECONDS = 10
_OVERLOADED = b'"code":"overloaded"'


class LoadGenerator:
    """Sends at a rate without regard to answers, so long as a connection is free."""

    def __init__(
        self, url: str, ticket_type_id: str, tokens: Sequence[str], *, patient: bool
    ) -> None:
        """With `patient`, a connection honours Retry-After."""
        self._patient = patient
        self.findings = Findings()
        self.total = Tally()
        """Of all that was sent in any phase."""
        self._second = Tally()
        self._target = Target(url)
        self._requests = [_reservation(self._target, ticket_type_id, each) for each in tokens]
        self._connections: list[Connection] = []
        self._idle: deque[Connection] = deque()
        self._loop = asyncio.get_running_loop()
        self._again = False
        """Whether a connection sends again as soon as it was answered (closed loop)."""
        self._connecting: set[asyncio.Task[None]] = set()

    async def open(self, connections: int) -> None:
        """Let there be so many connections. Raises `OSError` or `TimeoutError`."""
        while len(self._connections) < connections:
            first = len(self._connections)
            last = min(first + CONNECTING_AT_A_TIME, connections)
            group = [self._connection(number) for number in range(first, last)]
            await asyncio.gather(*(connection.connect() for connection in group))
            self._connections += group
            self._idle += group

    def close(self) -> None:
        for task in self._connecting:
            task.cancel()
        for connection in self._connections:
            connection.leave()

    async def closed_loop(
        self, connections: int, seconds: float, on_second: Callable[[Tally], None]
    ) -> Tally:
        """Let so many ask, each as soon as they have been served."""
        self._again = True
        for _ in range(connections):
            self._send(self._idle.popleft(), self._loop.time())
        phase = await self._watch(seconds, on_second)
        self._again = False
        await self.drain()
        return phase

    async def open_loop(
        self, rate: float, seconds: float, on_second: Callable[[Tally], None]
    ) -> Tally:
        """Ask at a rate, whatever is answered; who finds no connection free does not come."""
        pumping = asyncio.create_task(self._pump(rate))
        try:
            return await self._watch(seconds, on_second)
        finally:
            pumping.cancel()

    async def drain(self) -> None:
        """Await what is in flight."""
        give_up_at = self._loop.time() + DRAIN_SECONDS
        # Looked for and not waited for: answers must cost nothing to take.
        while (  # noqa: ASYNC110 - see above
            len(self._idle) < len(self._connections) and self._loop.time() < give_up_at
        ):
            await asyncio.sleep(0.01)
        self._end_second()

    async def _pump(self, rate: float) -> None:
        started = self._loop.time()
        done = 0
        while True:
            now = self._loop.time()
            until = int((now - started) * rate)
            self._second.due += until - done
            for _ in range(min(until - done, len(self._idle))):
                self._send(self._idle.popleft(), now)
            done = until
            await asyncio.sleep(TICK_SECONDS)

    async def _watch(self, seconds: float, on_second: Callable[[Tally], None]) -> Tally:
        self._end_second()
        phase = Tally()
        started = self._loop.time()
        for second in range(1, round(seconds) + 1):
            await asyncio.sleep(max(0.0, started + second - self._loop.time()))
            tally = self._end_second()
            phase.add(tally)
            on_second(tally)
        return phase

    def _end_second(self) -> Tally:
        tally, self._second = self._second, Tally()
        self.total.add(tally)
        now = self._loop.time()
        for connection in self._connections:
            if connection.due and now - connection.due > ANSWER_SECONDS:
                connection.give_up()
        return tally

    def _connection(self, number: int) -> Connection:
        buyer = number % len(self._requests)
        return Connection(self._target, buyer, self._requests[buyer], self._on_answer)

    def _send(self, connection: Connection, now: float) -> None:
        self._second.sent += 1
        if connection.is_open:
            connection.ask(now)
            return
        # An idle connection that the gateway has closed.
        task = asyncio.create_task(self._connect_and_ask(connection, now))
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect_and_ask(self, connection: Connection, due: float) -> None:
        try:
            await connection.connect()
        except (OSError, TimeoutError):
            connection.due = due
            self._on_answer(connection, 0, b"")
        else:
            connection.ask(due)

    def _on_answer(self, connection: Connection, status: int, answer: bytes) -> None:
        now, tally = self._loop.time(), self._second
        took, connection.due = now - connection.due, 0.0
        if status == 503 and _OVERLOADED in answer:
            tally.shed += 1
            tally.shed_times.add(took)
            retry_after = RETRY_AFTER.search(answer)
            if retry_after is None:
                self.findings.fault("a 503 without Retry-After", answer)
            elif self._patient and not self._again:
                self._loop.call_later(int(retry_after[1]), self._idle.append, connection)
                return
        else:
            self._on_other(connection, status, answer, took, tally)
        if self._again:
            self._send(connection, now)
        else:
            self._idle.append(connection)

    def _on_other(
        self, connection: Connection, status: int, answer: bytes, took: float, tally: Tally
    ) -> None:
        if status == 200:
            tally.succeeded += 1
        elif status == 409:
            tally.refused += 1
        elif status == 202:
            tally.pending += 1
            found = COMMAND_ID.search(answer)
            if found and len(self.findings.pending) < MAX_PENDING_KEPT:
                self.findings.pending.append((found[1].decode(), connection.buyer))
        elif status == 429:
            tally.shed += 1
            return
        else:
            tally.unknown += 1
            if status not in (0, 503):
                self.findings.fault(f"an answer {status}", answer)
            return
        tally.served_times.add(took)


def _reservation(target: Target, ticket_type_id: str, token: str) -> bytes:
    body = f'{{"items":[{{"ticket_type_id":"{ticket_type_id}","quantity":1}}]}}'
    head = (
        f"POST {target.path}/v1/reservations HTTP/1.1",
        f"Host: {target.host_header}",
        f"Authorization: Bearer {token}",
        "Content-Type: application/json",
        f"Prefer: wait={WAIT_SECONDS}",
        f"Content-Length: {len(body)}",
    )
    return "\r\n".join((*head, "", body)).encode()
