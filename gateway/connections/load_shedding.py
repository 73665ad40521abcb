"""Sheds load: while more comes than can be done, what is new is told at once to come again.

A process that takes everything answers nobody in time. It is overloaded when much is in progress
and its thread has no time left, or comes late: either alone may be a wait for the workers, which
costs nothing, or a moment's work.
"""

import asyncio
import itertools
import re
import time
from collections import deque
from collections.abc import Sized

from starlette.types import Scope

from gateway.connections.departures import DepartureProtocol
from gateway.problems import MEDIA_TYPE, ProblemError
from gateway.telemetry import Metrics

MAX_IN_PROGRESS = 1_000
"""Requests that a busy process works on at a time: a quarter of a second's work."""
MAX_BUSY_SHARE = 0.85
"""How much of its time the loop's thread may compute and still take everything."""
MAX_LAG_SECONDS = 0.02
"""How far behind its timers the loop may be and still take everything."""
PROBE_EVERY_SECONDS = 0.02
NEWEST_SHARE = 0.2
"""How much the last look counts beside those before it."""
RETRY_AFTER_SECONDS = (1, 2, 3, 4, 5)
"""In turn, so that those who are refused together do not come again together."""

MAX_SHED_PER_SECOND = 3_000
"""To say no takes 15 to 20 µs, a seventh of what a command takes. Whoever comes again before the
time that they were told is left unread until it is their turn, which costs nothing."""
MAX_PAUSE_SECONDS = 1.0

_KEPT = (b"/v1/commands/",)
"""Who asks for the outcome of a command that was taken is served: else it was taken in vain."""
_SHED = re.compile(rb"(?:GET|POST|PUT|PATCH|DELETE) (/v1/[^ \r\n]*) HTTP/1\.1\r\n")
_KEPT_ALIVE = b"\r\nconnection: keep-alive\r\n"
_NEEDS_THE_PARSER = (
    b"\r\ntransfer-encoding",
    b"\r\nexpect",
    b"\r\nupgrade",
    b"\r\nconnection",
    b" :",
    b"\t:",
    b"\r\n ",
    b"\r\n\t",
)
"""What takes several packets, closes the connection, or may be no HTTP at all."""


class LoadShedder:
    """Knows whether the process keeps up."""

    def __init__(self, metrics: Metrics) -> None:
        self.shed = metrics.shed
        self.lag_seconds = 0.0
        self.busy_share = 0.0
        """Of the last tenth of a second, or so."""
        self._in_progress: Sized = ()
        self._due = 0.0
        self._looked_at = 0.0
        self._computed_seconds = 0.0
        self._next_probe: asyncio.TimerHandle | None = None
        self._next_turn = 0.0
        self._paused: deque[tuple[float, SheddingProtocol]] = deque()
        """Who is left unread, and until when, in this order."""
        metrics.loop_lag.set_function(lambda: self.lag_seconds)

    @property
    def overloaded(self) -> bool:
        return len(self._in_progress) >= MAX_IN_PROGRESS and (
            self.busy_share > MAX_BUSY_SHARE or self.lag_seconds > MAX_LAG_SECONDS
        )

    def start(self, in_progress: Sized) -> None:
        """Watch the running loop, and the requests `in_progress`."""
        self._in_progress = in_progress
        self._looked_at = self._due = time.monotonic()
        self._computed_seconds = time.thread_time()
        self._next_probe = asyncio.get_running_loop().call_later(PROBE_EVERY_SECONDS, self._probe)

    def stop(self) -> None:
        if self._next_probe is not None:
            self._next_probe.cancel()

    def leave_unread(self, connection: "SheddingProtocol") -> None:
        """Read from a connection that was just shed no more, until it is its turn."""
        now = time.monotonic()
        self._next_turn = max(self._next_turn, now) + 1 / MAX_SHED_PER_SECOND
        if self._next_turn > now + PROBE_EVERY_SECONDS:
            connection.flow.pause_reading()
            self._paused.append((min(self._next_turn, now + MAX_PAUSE_SECONDS), connection))

    def _probe(self) -> None:
        now, computed = time.monotonic(), time.thread_time()
        self.lag_seconds = now - self._due
        busy_share = (computed - self._computed_seconds) / (now - self._looked_at)
        self.busy_share += NEWEST_SHARE * (busy_share - self.busy_share)
        self._looked_at, self._computed_seconds = now, computed
        while self._paused and self._paused[0][0] <= now:
            _, connection = self._paused.popleft()
            if not connection.transport.is_closing():
                connection.flow.resume_reading()
        self._due = now + PROBE_EVERY_SECONDS
        loop = asyncio.get_running_loop()
        self._next_probe = loop.call_later(PROBE_EVERY_SECONDS, self._probe)


class SheddingProtocol(DepartureProtocol):
    """uvicorn's protocol, which answers what is shed before it is even parsed."""

    shedder: LoadShedder

    def data_received(self, data: bytes) -> None:
        if (
            self.shedder.overloaded
            and self.is_between_requests()
            and not self.flow.write_paused
            and is_shed(data)
        ):
            self.shedder.shed.inc()
            self.transport.write(next(_REFUSALS))
            self.on_response_complete()  # the connection may be kept
            self.shedder.leave_unread(self)
        else:
            super().data_received(data)

    def is_between_requests(self) -> bool:
        """Tell whether what comes next begins a request, and can be answered at once."""
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:  # or else a head has begun
            return cycle is None and self.scope is None
        return cycle.response_complete and not cycle.more_body


def is_shed(data: bytes) -> bool:
    """Tell whether this is one whole request, and one that may be told to come again."""
    head_end = data.find(b"\r\n\r\n")
    request_line = _SHED.match(data)
    if head_end < 0 or request_line is None or request_line[1].startswith(_KEPT):
        return False
    head = data[: head_end + 2].lower().replace(_KEPT_ALIVE, b"\r\n", 1)
    if any(part in head for part in _NEEDS_THE_PARSER) or head.count(b"\n") != head.count(b"\r\n"):
        return False
    _, named, after = head.partition(b"\r\ncontent-length:")
    length, _, rest = after.partition(b"\r\n")
    body_bytes = len(data) - head_end - len(b"\r\n\r\n")
    if not named:
        return body_bytes == 0
    return b"\r\ncontent-length:" not in b"\r\n" + rest and length.strip() == b"%d" % body_bytes


def may_be_shed(scope: Scope) -> bool:
    """Tell whether a request that came in pieces may be told to come again."""
    path: str = scope["path"]
    return path.startswith("/v1/") and not path.encode().startswith(_KEPT)


def overloaded() -> ProblemError:
    """Return the problem of a request that is shed."""
    return ProblemError("overloaded", headers={"Retry-After": str(next(_SECONDS))})


def _refusal(retry_after_seconds: int) -> bytes:
    body = bytes(ProblemError("overloaded").response().body)
    head = (
        "HTTP/1.1 503 Service Unavailable",
        f"retry-after: {retry_after_seconds}",
        f"content-length: {len(body)}",
        f"content-type: {MEDIA_TYPE}",
    )
    return "\r\n".join((*head, "", "")).encode() + body


_SECONDS = itertools.cycle(RETRY_AFTER_SECONDS)
_REFUSALS = itertools.cycle([_refusal(seconds) for seconds in RETRY_AFTER_SECONDS])
