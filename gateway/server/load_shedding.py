"""Sheds load: while more comes than can be done, what is new is told at once to come again.

A process that takes everything answers nobody in time. It is overloaded when much is in progress
and its thread has no time left, or comes late: either alone may be a wait for the workers, which
costs nothing, or a moment's work. Workers that are far behind have commands shed, and nothing else.
"""

import asyncio
import itertools
import re
import time
from collections import deque
from collections.abc import Sized

from starlette.types import Scope

from gateway.http.problems import MEDIA_TYPE, ProblemError
from gateway.messaging.submit import MAX_IN_FLIGHT_COMMANDS, Publisher
from gateway.read_model.outcome_poller import OutcomePoller
from gateway.server.client_disconnects import DisconnectProtocol
from gateway.telemetry import Metrics

MAX_IN_PROGRESS = 1_000
"""Requests that a busy process works on at a time: a quarter of a second's work."""
MAX_BUSY_SHARE = 0.85
"""How much of its time the loop's thread may compute and still take everything."""
MAX_LAG_SECONDS = 0.02
"""How far behind its timers the loop may be and still take everything."""
PROBE_EVERY_SECONDS = 0.02
SHORT_SECONDS, LONG_SECONDS = 0.1, 1.0
"""How far back the averages look."""
RETRY_AFTER_SECONDS = (1, 2, 3, 4, 5)
"""In turn, so that those who are refused together do not come again together."""

MAX_SHED_PER_SECOND = 15_000
"""To say no takes 15 to 20 µs, a seventh of what a command takes. Whoever comes again before the
time that they were told is left unread until it is their turn, which costs nothing. Without any
bound the loop would read from these alone, and serve nobody."""
MAX_SHED_PER_SLOW_SECOND = 3_000
"""The same where this process, and not the workers, is what is slow."""
MAX_SLOW_SHARE = 0.1
"""How much of the time that may be so: a burst of replies takes a moment."""
MAX_PAUSE_SECONDS = 1.0

_KEPT = (b"/v1/commands/",)
"""Who asks for the outcome of a command that was taken is served: else it was taken in vain."""
_LOG_IN = b"/v1/tokens"
_HEADER = (
    rb"(?:connection: keep-alive\r\n"
    rb"|(?!transfer-encoding:|expect:|upgrade:|connection:|content-length:)"
    rb"[!#$%&'*+\-.^_`|~0-9a-z]+:[^\r\n\0]*\r\n)"
)
_LENGTH = rb"content-length:[ \t]*([0-9]{1,6})[ \t]*\r\n"
_WHOLE_REQUEST = re.compile(
    rb"(GET|POST|PUT|PATCH|DELETE) (/v1/[^ \r\n]*) HTTP/1\.1\r\n(?i:%b*(?:%b%b*)?)\r\n"
    % (_HEADER, _LENGTH, _HEADER)
)
"""A head as RFC 9112 has it; not if it says that more is to come, or that this is the last."""


class LoadShedder:
    """Knows whether the process keeps up."""

    def __init__(
        self, metrics: Metrics, publisher: Publisher, outcome_poller: OutcomePoller
    ) -> None:
        self._publisher = publisher
        self._outcome_poller = outcome_poller
        self.shed = metrics.shed
        self.lag_seconds = 0.0
        self.busy_share = 0.0
        """How much of the time the loop's thread computed lately."""
        self.slow_share = 0.0
        """How much of the time this process was what is slow, of the last second or so."""
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
        """Whether this process does not keep up."""
        return self.in_progress >= MAX_IN_PROGRESS and (
            self.busy_share > MAX_BUSY_SHARE or self.lag_seconds > MAX_LAG_SECONDS
        )

    @property
    def workers_are_behind(self) -> bool:
        """Whether a command would be late, even if this process kept up."""
        # Each request that has not handed in a command may be one that is about to.
        begun = self.in_progress - self._publisher.submitting
        return not self._publisher.has_room_for(max(1, begun))

    @property
    def in_progress(self) -> int:
        """How many requests are, without those that do nothing but wait."""
        return len(self._in_progress) - self._outcome_poller.idle

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
        is_slow = self.slow_share > MAX_SLOW_SHARE
        per_second = MAX_SHED_PER_SLOW_SECOND if is_slow else MAX_SHED_PER_SECOND
        self._next_turn = max(self._next_turn, now) + 1 / per_second
        if self._next_turn > now + PROBE_EVERY_SECONDS:
            connection.flow.pause_reading()
            self._paused.append((min(self._next_turn, now + MAX_PAUSE_SECONDS), connection))

    def _probe(self) -> None:
        now, computed = time.monotonic(), time.thread_time()
        self.lag_seconds = now - self._due
        seconds = now - self._looked_at
        busy_share = (computed - self._computed_seconds) / seconds
        self.busy_share += min(1.0, seconds / SHORT_SECONDS) * (busy_share - self.busy_share)
        is_slow = self.overloaded and self._publisher.has_room_for(MAX_IN_FLIGHT_COMMANDS // 2)
        self.slow_share += min(1.0, seconds / LONG_SECONDS) * (is_slow - self.slow_share)
        self._looked_at, self._computed_seconds = now, computed
        while self._paused and self._paused[0][0] <= now:
            _, connection = self._paused.popleft()
            if not connection.transport.is_closing():
                connection.flow.resume_reading()
        self._due = now + PROBE_EVERY_SECONDS
        loop = asyncio.get_running_loop()
        self._next_probe = loop.call_later(PROBE_EVERY_SECONDS, self._probe)


class SheddingProtocol(DisconnectProtocol):
    """uvicorn's protocol, which answers what is shed before it is even parsed."""

    shedder: LoadShedder

    def data_received(self, data: bytes) -> None:
        shedder = self.shedder
        if (
            (shedder.overloaded or shedder.workers_are_behind)
            and self.is_between_requests()
            and not self.flow.write_paused
            and is_shed(data, commands_only=not shedder.overloaded)
        ):
            shedder.shed.inc()
            self.write_at_once(next(_REFUSALS))
            self.on_response_complete()  # the connection may be kept
            shedder.leave_unread(self)
        else:
            super().data_received(data)

    def is_between_requests(self) -> bool:
        """Tell whether what comes next begins a request, and can be answered at once."""
        cycle = self.cycle
        if cycle is None or cycle.scope is not self.scope:  # or else a head has begun
            return cycle is None and self.scope is None
        return cycle.response_complete and not cycle.more_body


def is_shed(data: bytes, *, commands_only: bool = False) -> bool:
    """Tell whether this is one whole request, and one that may be told to come again."""
    whole = _WHOLE_REQUEST.match(data)
    if whole is None:
        return False
    method, path, body_bytes = whole.groups()
    if path.startswith(_KEPT) or (commands_only and (method == b"GET" or path == _LOG_IN)):
        return False
    return len(data) - whole.end() == int(body_bytes or 0)


def may_be_shed(scope: Scope) -> bool:
    """Tell whether a request that came in pieces may be told to come again."""
    path: str = scope["path"]
    return path.startswith("/v1/") and not path.encode().startswith(_KEPT)


def overloaded(command_id: str | None = None) -> ProblemError:
    """Return the problem of a request that is shed, which names its command where it is known."""
    named = {"command_id": command_id} if command_id else {}
    return ProblemError("overloaded", headers={"Retry-After": str(next(_SECONDS))}, **named)


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
