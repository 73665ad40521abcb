"""Generates load through the queue: publishes reservations and consumes the replies."""

import asyncio
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter

from loadtest.fixtures import Fixtures
from loadtest.measure.counters import Counters
from loadtest.measure.schedule import Schedule
from loadtest.measure.timeline import Timeline
from loadtest.purchases import CheckOut, Payment, Purchase, Purchases
from loadtest.queue.amqp import CommandsLink, connect
from loadtest.workload import Draw, Request, Workload

_OUTCOME = re.compile(rb'"command_id":"([^"]+)"[^{}]*?"status":"(succeeded|refused)"')
_EXPIRY = re.compile(rb'"expires_at":"([^"]+)"')
_CODE = re.compile(rb'"refusal":\{[^{}]*?"code":"([a-z_]+)"')


@dataclass(frozen=True, slots=True)
class SendRate:
    """The pace of a sender."""

    commands_per_message: int = 100
    messages_in_flight: int = 20
    rate_per_second: float | None = None
    """Commands per second; None: as fast as the messages in flight allow."""


@dataclass(slots=True)
class _Message:
    due: float
    number: int
    requests: list[Request]


class QueueLoad:
    """A sender with a bounded number of messages in flight."""

    def __init__(
        self, workload: Workload, fixtures: Fixtures, send_rate: SendRate, warm_up_seconds: float
    ):
        self.counters = Counters(workload.ticket_types)
        self.timeline = Timeline(warm_up_seconds)
        self._draw = Draw(workload, fixtures.ticket_type_ids)
        self._purchases = Purchases(workload, fixtures, self.counters.sales)
        self._fixtures = fixtures
        self._send_rate = send_rate
        self._buyers = [
            f'","user_id":"{buyer.user_id}","submitted_at":"' for buyer in fixtures.buyers
        ]
        self._loop = asyncio.get_running_loop()
        self._link: CommandsLink
        self._schedule = Schedule(None, 0.0)
        self._in_flight: dict[str, _Message] = {}
        self._unconfirmed: dict[int, str] = {}
        self._lowest_unconfirmed = 1
        self._next_pump: asyncio.TimerHandle | None = None

    async def connect(self, broker_url: str) -> None:
        """Connect to the broker. Raises `BrokerError`."""
        self._link = await connect(broker_url, self._on_reply, self._on_confirm)

    async def close(self) -> None:
        await self._link.close()

    def start(self, start: float) -> None:
        rate = self._send_rate.rate_per_second
        per_message = self._send_rate.commands_per_message
        self._schedule = Schedule(rate / per_message if rate else None, start)
        self._pump()

    def stop_sending(self, now: float) -> None:
        self._schedule.end(now)

    def late(self, now: float) -> int:
        return self._schedule.late(now) * self._send_rate.commands_per_message

    def look_after(self, now: float) -> None:
        if self._link.lost.done():
            raise self._link.lost.result()

    def _pump(self) -> None:
        """Send all commands that are due, within the bound of messages in flight."""
        now = perf_counter()
        while len(self._in_flight) < self._send_rate.messages_in_flight:
            due = self._schedule.take(now)
            if due is None:
                self._pump_when_due(now)
                return
            self._send(due)

    def _pump_when_due(self, now: float) -> None:
        if self._next_pump is not None:
            self._next_pump.cancel()
        if not self._schedule.has_ended:
            self._next_pump = self._loop.call_later(self._schedule.next_due(now) - now, self._pump)

    def _send(self, due: float) -> None:
        if self._link.lost.done():
            return  # which ends the run at the next second
        count = self._send_rate.commands_per_message
        requests: list[Request] = [*self._purchases.take(count)]
        requests += self._draw.take(count - len(requests))
        name = requests[-1].command_id + f".{self._schedule.taken}"
        number = self._link.publish(name, self._body(requests))
        self._in_flight[name] = _Message(due, number, requests)
        self._unconfirmed[number] = name
        self.counters.asked += len(requests)

    def _body(self, requests: Sequence[Request]) -> bytes:
        now = datetime.now(UTC).isoformat()
        buyers, items = self._buyers, self._draw.items
        commands = [
            self._purchase(each, now)
            if isinstance(each, CheckOut | Payment)
            else f'{{"kind":"reserve_tickets","command_id":"{each.command_id}'
            f'{buyers[each.buyer]}{now}",{items(each)}}}'
            for each in requests
        ]
        return f"[{','.join(commands)}]".encode()

    def _purchase(self, purchase: Purchase, now: str) -> str:
        buyer, agent = self._fixtures.buyers[purchase.buyer], self._fixtures.organizer
        sender = agent if isinstance(purchase, Payment) else buyer
        return self._purchases.command(purchase, sender.user_id, now)

    def _on_reply(self, name: str, body: bytes) -> None:
        message = self._in_flight.pop(name, None)
        if message is None:
            self.counters.fault("a reply to no message of ours", name)
            return
        # A reply proves that the broker had the message, also if it arrives before the confirm.
        self._unconfirmed.pop(message.number, None)
        self.timeline.answered(perf_counter() - message.due, len(message.requests))
        self._enter(message.requests, body)
        self._pump()

    def _enter(self, requests: list[Request], body: bytes) -> None:
        """Count the outcomes; their JSON is parsed only if the text is not in the usual form."""
        if self.counters.first_expiry is None and (expiry := _EXPIRY.search(body)):
            self.counters.first_expiry = expiry[1].decode()
        found = _OUTCOME.findall(body)
        ids = [each.command_id for each in requests]
        if (
            self._purchases.is_on
            or [command_id.decode() for command_id, _ in found] != ids
            or any(each.sent_again for each in requests)
        ):
            self._enter_slowly(requests, body)
            return
        refused = sum(status == b"refused" for _, status in found)
        if not refused:
            self.counters.grant_all(requests)
            return
        codes = _CODE.findall(body)
        if len(codes) != refused:
            self._enter_slowly(requests, body)
            return
        self.timeline.refused(refused)
        remaining = iter(codes)
        for reservation, (_, status) in zip(requests, found, strict=True):
            refusal = next(remaining).decode() if status == b"refused" else None
            self.counters.enter(reservation, refusal, None)

    def _enter_slowly(self, requests: list[Request], body: bytes) -> None:
        outcomes = json.loads(body)
        if len(outcomes) != len(requests):
            self.counters.fault(
                "a reply with another number of outcomes than there were commands",
                f"{len(outcomes)} for {len(requests)}",
            )
            return
        for request, outcome in zip(requests, outcomes, strict=True):
            if outcome["command_id"] != request.command_id:
                self.counters.fault("an outcome of another command", request.command_id)
            elif outcome["status"] == "pending":
                self.counters.fault("a reply that says pending", request.command_id)
            else:
                refusal = outcome["refusal"] and outcome["refusal"]["code"]
                self.timeline.refused(bool(refusal))
                self.counters.enter(request, refusal, outcome)
                if self._purchases.is_on and not refusal and request.answer is None:
                    self._purchases.put(self._purchases.after(request, outcome["result"]))

    def _on_confirm(self, number: int, multiple: bool, taken: bool) -> None:
        first = self._lowest_unconfirmed if multiple else number
        for each in range(first, number + 1):
            name = self._unconfirmed.pop(each, None)
            if name is not None and not taken:
                # The broker is full: these commands have no outcome; go on with others.
                message = self._in_flight.pop(name)
                self.counters.not_accepted += len(message.requests)
                self._loop.call_later(1.0, self._pump)
        if multiple:
            self._lowest_unconfirmed = number + 1
