"""Answers a read that came before, byte for byte, without parsing it again.

Who watches an event asks for its page in the same words each time, and so do others with the same
browser. What these bytes ask for was found out by uvicorn's parser and the routes; from then on a
look into a table stands for parser, scope, task and response. What is answered is read as ever.
"""

import re
from asyncio import Future
from collections.abc import Callable
from time import perf_counter

from starlette.responses import Response

from gateway.http.json_response import JsonResponse
from gateway.server.load_shedding import LoadShedder, SheddingProtocol
from gateway.telemetry import RequestTimes

ROUTE = "/v1/events/{event_id}"
MAX_KNOWN = 4_096
MAX_REQUEST_BYTES = 2_048
MAX_HELD_BACK_BYTES = 64 * 1024

_METHOD = b"GET "
_PATH = re.compile(r"/v1/events/([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")
_HEAD_END = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 OK\r\n"

ReadPage = Callable[[str], "Future[Response]"]
"""Begins to read the page of an event."""


class RepeatedReads:
    """Which requests, to the byte, ask for the page of which event."""

    def __init__(self, read_page: ReadPage, request_times: RequestTimes) -> None:
        self.read_page = read_page
        self._request_times = request_times
        self._known: dict[bytes, str] = {}

    def event_of(self, request: bytes) -> str | None:
        return self._known.get(request)

    def learn(self, request: bytes, event_id: str) -> None:
        """Know a request from now on; the one that is known longest is forgotten for it."""
        if len(self._known) >= MAX_KNOWN:
            del self._known[next(iter(self._known))]
        self._known[request] = event_id

    def observe(self, seconds: float) -> None:
        self._request_times.observe(ROUTE, "GET", 200, seconds)


class RepeatedReadsProtocol(SheddingProtocol):
    """uvicorn's protocol, which recognises reads, one at a time on each connection."""

    reads: RepeatedReads
    is_reading = False
    _held_back = b""
    """What came behind a read that is not answered yet."""
    _closes_after = False

    def data_received(self, data: bytes) -> None:
        if self.is_reading:
            self._held_back += data
            if len(self._held_back) > MAX_HELD_BACK_BYTES:
                self.flow.pause_reading()
            return
        event_id = self.reads.event_of(data)
        between_requests = self.is_between_requests()
        if (
            event_id is not None
            and between_requests
            and not self.shedder.overloaded
            and not self.flow.write_paused  # uvicorn waits until the last answers are read
        ):
            self._answer(data, event_id)
            return
        before = self.cycle
        super().data_received(data)
        # What was shed was not parsed: `cycle` is still the request before it.
        was_parsed = self.cycle is not before
        if was_parsed and event_id is None and between_requests and data.startswith(_METHOD):
            self._learn(data)

    def shutdown(self) -> None:
        """Close the connection; not before a read is answered."""
        if self.is_reading:
            self._closes_after = True
        else:
            super().shutdown()

    def _answer(self, request: bytes, event_id: str) -> None:
        started = perf_counter()
        self._unset_keepalive_if_required()
        self.is_reading = True

        def on_page(reading: "Future[Response]") -> None:
            self.is_reading = False
            if self.transport.is_closing():
                return
            page = None if reading.exception() else reading.result()
            if isinstance(page, JsonResponse) and not self._closes_after:
                self.write_at_once(self._head() + page.headers_and_body)
                self.on_response_complete()
                self.reads.observe(perf_counter() - started)
            else:  # a problem, or the last answer: neither is in a hurry
                super(RepeatedReadsProtocol, self).data_received(request)
                if self._closes_after:
                    super(RepeatedReadsProtocol, self).shutdown()
            held_back, self._held_back = self._held_back, b""
            if held_back:
                self.data_received(held_back)

        self.reads.read_page(event_id).add_done_callback(on_page)

    def _head(self) -> bytes:
        # The date, kept up to date by uvicorn.
        default_headers = self.server_state.default_headers
        return _OK + b"".join(b"%b: %b\r\n" % header for header in default_headers)

    def _learn(self, request: bytes) -> None:
        """Know the request that was just parsed, if it is one whole plain read of an event."""
        cycle = self.cycle
        if (
            len(request) <= MAX_REQUEST_BYTES
            and request.find(_HEAD_END) == len(request) - len(_HEAD_END)
            and cycle is not None
            and cycle.scope is self.scope
            and not cycle.more_body
            and cycle.keep_alive
            and not cycle.scope["query_string"]
        ):
            asked_for = _PATH.fullmatch(cycle.scope["path"])
            if asked_for:
                self.reads.learn(request, asked_for[1])


def recognising(reads: RepeatedReads, shedder: LoadShedder) -> type[RepeatedReadsProtocol]:
    """Return the protocol of a server that knows these reads, and whose load this shedder knows."""
    return type("Recognising", (RepeatedReadsProtocol,), {"reads": reads, "shedder": shedder})
