"""Generates load over HTTP: in an open loop on a schedule, or in a closed loop."""

import asyncio
import json
import re
from collections import deque
from collections.abc import Sequence
from itertools import cycle
from time import perf_counter

from loadtest.fixtures import Fixtures
from loadtest.http.buyer import Buyer, BuyerContext
from loadtest.http.connection import Target, request
from loadtest.measure.counters import Counters
from loadtest.measure.schedule import Schedule
from loadtest.measure.timeline import Timeline
from loadtest.options import HttpOptions
from loadtest.progress import Progress
from loadtest.purchases import Payment, Purchase, Purchases
from loadtest.queue.client import PreparationError
from loadtest.workload import Draw, Request, Reservation

CONNECTING_AT_A_TIME = 50
"""A server's backlog of new connections may be as short as 100."""

_EXPIRY = re.compile(rb'"expires_at": ?"([^"]+)"')


class HttpLoad:
    """As many buyers as the workload says, each with one request in flight at most.

    With fewer connections than buyers, every request is of the next buyer.
    """

    def __init__(self, options: HttpOptions, fixtures: Fixtures, tokens: Sequence[str]) -> None:
        self.counters = Counters(options.workload.ticket_types)
        self.timeline = Timeline(options.warm_up_seconds)
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._draw = Draw(options.workload, fixtures.ticket_type_ids)
        self._purchases = Purchases(options.workload, fixtures, self.counters.sales)
        self._organizer_token = fixtures.organizer_token
        self._following: dict[Buyer, Purchase] = {}
        """The next command on the connection of a buyer."""
        houses = [self._context(url) for url in options.urls]
        self._page = request(houses[0].target, "GET", f"/v1/events/{fixtures.event_id}", {})
        self._buyers = [
            Buyer(houses[number % len(houses)], number, token)
            for number, token in enumerate(tokens[: options.connections])
        ]
        self._others = None
        """The next buyers and their tokens, if buyers share connections."""
        if options.connections is not None:
            self._others = cycle(enumerate(tokens))
        self._idle = deque(self._buyers)
        self._schedule = Schedule(None, 0.0)
        self._next_pump: asyncio.TimerHandle | None = None

    def _context(self, url: str) -> BuyerContext:
        options = self._options
        return BuyerContext(
            Target(url),
            options.mode,
            options.poll_seconds,
            self.counters,
            self.timeline.accepted,
            self._on_done,
        )

    async def connect(self, progress: Progress) -> None:
        """Open all connections. Raises `PreparationError`."""
        for start in range(0, len(self._buyers), CONNECTING_AT_A_TIME):
            group = self._buyers[start : start + CONNECTING_AT_A_TIME]
            try:
                await asyncio.gather(*(buyer.connect() for buyer in group))
            except (OSError, TimeoutError) as error:
                raise PreparationError(
                    f"Only {start} of {len(self._buyers)} connections could be opened:"
                    f" {error or 'no answer'}."
                ) from None
            progress.step("connecting buyers", start + len(group), len(self._buyers))

    def close(self) -> None:
        for buyer in self._buyers:
            buyer.stop()

    def start(self, start: float) -> None:
        self._schedule = Schedule(self._options.rate_per_second, start)
        self._pump()

    def stop_sending(self, now: float) -> None:
        self._schedule.end(now)

    def late(self, now: float) -> int:
        return self._schedule.late(now)

    def look_after(self, now: float) -> None:
        for buyer in self._buyers:
            buyer.retry_if_late(now)

    def _pump(self) -> None:
        """Let idle buyers send all requests that are due."""
        now = perf_counter()
        while self._idle:
            due = self._schedule.take(now)
            if due is None:
                self._pump_when_due(now)
                return
            self._serve(self._idle.popleft(), due)

    def _pump_when_due(self, now: float) -> None:
        if self._next_pump is not None:
            self._next_pump.cancel()
        if not self._schedule.has_ended:
            self._next_pump = self._loop.call_later(self._schedule.next_due(now) - now, self._pump)

    def _serve(self, buyer: Buyer, due: float) -> None:
        self.counters.asked += 1
        if self._options.reads:
            buyer.read_page(self._page, due)
            return
        if purchase := self._following.pop(buyer, None):
            token = self._organizer_token if isinstance(purchase, Payment) else None
            path = self._purchases.path(purchase)
            buyer.purchase(purchase, path, json.dumps(self._purchases.body(purchase)), due, token)
            return
        wants = buyer.wants
        # A buyer whose last reservation has an answer here repeats it.
        if not isinstance(wants, Reservation) or wants.answer is None:
            if self._others is not None:
                buyer.act_for(*next(self._others))
            wants = self._draw.take_for(buyer.number)
        buyer.reserve(wants, self._draw.items(wants), due)

    def _on_done(self, buyer: Buyer, refusal: str | None, body: bytes) -> None:
        counters = self.counters
        if counters.first_expiry is None and (expiry := _EXPIRY.search(body)):
            counters.first_expiry = expiry[1].decode()
        # Not the loop's clock: uvloop's has whole milliseconds.
        self.timeline.answered(perf_counter() - buyer.due)
        if refusal is not None:
            self.timeline.refused()
        if buyer.wants is None:
            counters.answered += 1
        else:
            # Refusals of one command may come as a problem or within an outcome.
            counters.enter(buyer.wants, refusal, refusal or body)
            if self._purchases.is_on and refusal is None and buyer.wants.answer is None:
                self._follow(buyer, buyer.wants, body)
        self._idle.append(buyer)
        self._pump()

    def _follow(self, buyer: Buyer, wants: Request, body: bytes) -> None:
        purchase = self._purchases.after(wants, json.loads(body)["result"])
        if purchase is not None:
            self._following[buyer] = purchase
