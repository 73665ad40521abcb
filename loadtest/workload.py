"""Draws random reservations, as JSON that was encoded beforehand."""

import heapq
import json
import random
import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

PREPARED_CARTS = 8_192
"""The number of carts that are drawn beforehand, and picked from during the run."""
REPEAT_WITHIN_COMMANDS = 2_000
"""A repeat follows the original, which may still be in flight, at most this many commands later."""


@dataclass(frozen=True, slots=True)
class Workload:
    """The distribution of reservations."""

    buyers: int = 2_000
    ticket_types: int = 1
    events: int = 1
    """The events among which the ticket types are divided; more than one only if the
    fixtures are created through the queue."""
    skew: float = 0.0
    """Zipf exponent. 0: all ticket types alike; 1: the first twice as often as the second."""
    lines: int = 1
    max_quantity: int = 1
    """A line has 1 to this many tickets, uniformly distributed."""
    repeats: float = 0.0
    tickets: int = 100_000_000
    """Of each type. If fewer than requested, they sell out."""
    check_out: float = 0.0
    """The share of granted reservations after which the buyer checks out. All ticket types must
    be of one event."""
    pay: float = 0.0
    """The share of orders that are paid."""


class Request:
    """One command, and what is known of its outcome so far."""

    __slots__ = ("answer", "buyer", "command_id", "sent_again", "types")

    def __init__(self, command_id: str, buyer: int, types: tuple[int, ...] = ()) -> None:
        self.command_id = command_id
        self.buyer = buyer
        self.types = types
        """The reserved tickets: the index of their ticket type, once for each ticket."""
        self.sent_again = False
        self.answer: object = None
        """The first outcome, until the repeat has its own; None for a command sent once."""


class Reservation(Request):
    """A buyer reserves tickets."""

    __slots__ = ()


class Draw:
    """Draws reservations, among them repeats of earlier ones under the same command ID."""

    def __init__(self, workload: Workload, ticket_type_ids: Sequence[str]) -> None:
        self._workload = workload
        self._carts = [_draw_cart(workload) for _ in range(PREPARED_CARTS)]
        self._items = {cart: _items(cart, ticket_type_ids) for cart in set(self._carts)}
        self._ids = CommandIds()
        self._to_repeat: list[tuple[int, int, Reservation]] = []
        self._drawn = 0

    def take(self, count: int) -> list[Reservation]:
        """Return the next reservations; the buyers take turns."""
        repeats = self._workload.repeats
        buyers, carts = self._workload.buyers, self._carts
        taken = []
        for command_id in self._ids.take(count):
            self._drawn += 1
            if self._to_repeat and self._to_repeat[0][0] <= self._drawn:
                taken.append(heapq.heappop(self._to_repeat)[2])
                continue
            cart = carts[int(random.random() * PREPARED_CARTS)]
            # In turn: no buyer sends a second command while others wait for their first.
            reservation = Reservation(command_id, self._drawn % buyers, cart)
            if repeats and random.random() < repeats:
                reservation.sent_again = True
                due = self._drawn + random.randint(1, REPEAT_WITHIN_COMMANDS)
                heapq.heappush(self._to_repeat, (due, self._drawn, reservation))
            taken.append(reservation)
        return taken

    def take_for(self, buyer: int) -> Reservation:
        """Return a new reservation of this buyer, which may have to be repeated next."""
        (command_id,) = self._ids.take(1)
        cart = self._carts[int(random.random() * PREPARED_CARTS)]
        reservation = Reservation(command_id, buyer, cart)
        reservation.sent_again = random.random() < self._workload.repeats
        return reservation

    def items(self, reservation: Request) -> str:
        """Return the JSON member `items` of a reservation."""
        return self._items[reservation.types]


class CommandIds:
    """Generates UUIDv7s cheaply: unique by 32 random bits per run and a counter."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(4)
        self._counter = 0

    def take(self, count: int) -> list[str]:
        run, first = self._run, self._counter + 1
        self._counter += count
        milliseconds = f"{time.time_ns() // 1_000_000:012x}"
        head = f"{milliseconds[:8]}-{milliseconds[8:]}-7{run[:3]}-8{run[3:6]}-{run[6:]}"
        return [f"{head}{number:010x}" for number in range(first, first + count)]


def _draw_cart(workload: Workload) -> tuple[int, ...]:
    """Draw as many different ticket types as a cart has lines, the popular ones more often.

    The type of a line comes once for each of its tickets.
    """
    weights = [1 / (place + 1) ** workload.skew for place in range(workload.ticket_types)]
    cart: list[int] = []
    for _ in range(workload.lines):
        (place,) = random.choices(range(workload.ticket_types), weights)
        weights[place] = 0.0
        cart += [place] * random.randint(1, workload.max_quantity)
    return tuple(cart)


def _items(cart: Sequence[int], ticket_type_ids: Sequence[str]) -> str:
    lines = [
        {"ticket_type_id": ticket_type_ids[place], "quantity": quantity}
        for place, quantity in Counter(cart).items()
    ]
    return f'"items":{json.dumps(lines)}'
