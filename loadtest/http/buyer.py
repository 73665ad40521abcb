"""One buyer at the gateway: retries until the outcome of its request is known."""

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from loadtest.http.connection import HttpConnection, Target, request
from loadtest.measure.counters import Counters
from loadtest.measure.histogram import Histogram
from loadtest.options import Mode
from loadtest.workload import Request

WAIT_SECONDS = 10
"""How long a buyer asks the gateway to await the outcome."""
ANSWER_SECONDS = WAIT_SECONDS + 20.0
"""A later response is given up, and the request is repeated with the same key."""
RETRY_SECONDS = 1.0
PREFER: dict[Mode, str] = {"await": f"wait={WAIT_SECONDS}", "poll": "respond-async"}

_OK, _CREATED, _ACCEPTED, _TOO_MANY, _SERVER_ERROR = 200, 201, 202, 429, 500
_CODE = re.compile(rb'"code": ?"([a-z_]+)"')
_STATUS = re.compile(rb'"status": ?"(pending|succeeded|refused)"')


@dataclass(frozen=True, slots=True)
class BuyerContext:
    """Shared by all buyers: the gateway, the mode, and the callback for outcomes."""

    target: Target
    mode: Mode
    poll_seconds: float
    counters: Counters
    accepted: Histogram
    on_done: Callable[["Buyer", str | None, bytes], None]
    """Takes a buyer, the code of a refusal or None, and the response."""


class Buyer:
    """A user with a token and a connection, and at most one request in flight."""

    __slots__ = (
        "_connecting",
        "_connection",
        "_context",
        "_head",
        "_loop",
        "_polls",
        "_request",
        "_sender_token",
        "_sent_at",
        "_timer",
        "_token",
        "due",
        "number",
        "wants",
    )  # fmt: skip

    def __init__(self, context: BuyerContext, number: int, token: str) -> None:
        self.number = number
        self.due = 0.0
        """When the request in flight was due."""
        self.wants: Request | None = None
        """None for a buyer that only reads."""
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._connection = HttpConnection(self._on_answer, self._on_lost)
        self._token = self._sender_token = token
        self._head = _command_head(context, token, "/v1/reservations")
        self._polls = False
        self._request = b""
        self._sent_at = 0.0
        """0 while nothing is in flight."""
        self._timer: asyncio.TimerHandle | None = None
        self._connecting: asyncio.Task[None] | None = None

    def act_for(self, number: int, token: str) -> None:
        """Send the next requests for another user on the same connection."""
        self.number = number
        self._token = token
        self._head = _command_head(self._context, token, "/v1/reservations")

    async def connect(self) -> None:
        """Raises `OSError` or `TimeoutError`."""
        await self._connection.open(self._context.target)

    def reserve(self, reservation: Request, items: str, due: float) -> None:
        """Reserve tickets; the outcome goes to `on_done` of the context."""
        self._sender_token = self._token
        self._send_command(reservation, self._head, f"{{{items}}}", due)

    def purchase(
        self, purchase: Request, path: str, body: str, due: float, token: str | None = None
    ) -> None:
        """Send another command, as another user if a token is given."""
        self._sender_token = token or self._token
        head = _command_head(self._context, self._sender_token, path)
        self._send_command(purchase, head, body, due)

    def read_page(self, page: bytes, due: float) -> None:
        """Send a read."""
        self.wants, self.due, self._request = None, due, page
        self._send()

    def retry_if_late(self, now: float) -> None:
        """Abort a request that takes too long, and send it again."""
        if self._sent_at and now - self._sent_at > ANSWER_SECONDS:
            self._connection.abort()

    def stop(self) -> None:
        """Abort the request in flight and close the connection."""
        for activity in (self._timer, self._connecting):
            if activity is not None:
                activity.cancel()
        self._sent_at = 0.0
        self._connection.abort()

    def _send_command(self, wants: Request, head: str, body: str, due: float) -> None:
        self.wants, self.due, self._polls = wants, due, False
        self._request = (
            f"{head}{wants.command_id}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        ).encode()
        self._send()

    def _send(self) -> None:
        if not self._connection.is_open:
            self._connecting = asyncio.create_task(self._connect_and_send())
            return
        self._sent_at = perf_counter()
        self._connection.send(self._request)

    async def _connect_and_send(self) -> None:
        try:
            await self.connect()
        except (OSError, TimeoutError):
            self._retry()
        else:
            self._send()

    def _retry(self) -> None:
        """Repeat the request with the same key: its outcome is unknown, and it is applied once."""
        self._context.counters.tries_again += 1
        self._timer = self._loop.call_later(RETRY_SECONDS, self._send)

    def _on_lost(self, _reason: str) -> None:
        if self._sent_at:
            self._sent_at = 0.0
            self._retry()

    def _on_answer(self, status: int, body: bytes) -> None:
        self._sent_at = 0.0
        if status == _TOO_MANY or status >= _SERVER_ERROR:
            self._retry()
        elif self.wants is None:
            self._on_page(status, body)
        elif self.wants.command_id.encode() not in body:
            self._on_rejected(status, body)
        elif status == _ACCEPTED:
            self._context.accepted.add(perf_counter() - self.due)
            self._poll_later(self.wants)
        elif status in (_OK, _CREATED):
            self._on_outcome(self.wants, body)
        else:
            self._done(_code(body) or f"http_{status}", body)

    def _on_outcome(self, wants: Request, body: bytes) -> None:
        found = _STATUS.search(body)
        match found and found[1]:
            case b"succeeded":
                self._done(None, body)
            case b"refused":
                self._done(_code(body) or "unknown", body)
            case _:
                self._poll_later(wants)

    def _on_page(self, status: int, body: bytes) -> None:
        if status == _OK:
            self._done(None, body)
        else:
            self._on_rejected(status, body)

    def _on_rejected(self, status: int, body: bytes) -> None:
        """Report a fault of the request or the response."""
        what = f"an answer {status} that names no command of ours ({_code(body)})"
        self._context.counters.fault(what, body.decode(errors="replace"))
        self._done(f"http_{status}", body)

    def _poll_later(self, wants: Request) -> None:
        if not self._polls:
            self._polls = True
            head = {"Authorization": f"Bearer {self._sender_token}"}
            self._request = request(
                self._context.target, "GET", f"/v1/commands/{wants.command_id}", head
            )
        self._timer = self._loop.call_later(self._context.poll_seconds, self._send)

    def _done(self, refusal: str | None, body: bytes) -> None:
        self._context.on_done(self, refusal, body)


def _command_head(context: BuyerContext, token: str, path: str) -> str:
    """Return the constant part of a reservation request, up to the value of its key."""
    return (
        f"POST {context.target.path}{path} HTTP/1.1\r\n"
        f"Host: {context.target.host_header}\r\n"
        f"Authorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\n"
        f"Prefer: {PREFER[context.mode]}\r\n"
        "Idempotency-Key: "
    )


def _code(body: bytes) -> str | None:
    found = _CODE.search(body)
    return found[1].decode() if found else None
