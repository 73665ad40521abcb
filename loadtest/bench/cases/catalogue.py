"""The cases of the bench: what each measures, on how many workers and gateways."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from loadtest.workload import Workload

IN_FLIGHT_COMMANDS = 2_000
"""Commands in flight through the queue, regardless of the number of messages."""
MAX_IN_FLIGHT_MESSAGES = 500
SOON_SOLD_OUT = 100

MANY_BUYERS = Workload(buyers=2 * IN_FLIGHT_COMMANDS)
OLD_CUSTOMERS = Workload(buyers=20_000)
BUYERS_200 = Workload(buyers=200)
NEW_BUYERS = Workload(buyers=300_000, max_quantity=4)
"""Enough for nine seconds through the queue in which each buyer comes once."""
NEW_BUYERS_OVER_HTTP = 100_000
"""As many as come within nine seconds: each token takes the load 50 µs to sign beforehand."""
SALE = replace(NEW_BUYERS, ticket_types=20, events=5, skew=1.0)
NEW_HTTP = replace(NEW_BUYERS, buyers=NEW_BUYERS_OVER_HTTP)
SALE_HTTP = replace(SALE, buyers=NEW_BUYERS_OVER_HTTP)
SALE_CONNECTIONS = 200


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table."""

    name: str
    group: str
    """The letter under which the table lists it."""
    way: Literal["hot row", "baseline", "queue", "http"]
    workload: Workload = field(default_factory=Workload)
    commands_per_message: int = 100
    reads: bool = False
    known_buyers: bool = False
    """Buyers are drawn from all users that there are."""
    new_buyers: bool = False
    """Each buyer comes once, with a token of its own; over HTTP they share connections."""
    workers: int = 1
    gateways: int = 1

    @property
    def messages_in_flight(self) -> int:
        return min(MAX_IN_FLIGHT_MESSAGES, IN_FLIGHT_COMMANDS // self.commands_per_message)


HOT_ROW = Case("pgbench, one hot row, 16 clients", "a", "hot row")
BASELINE = Case("a row lock for each, 200 buyers", "b", "baseline", BUYERS_200)
QUEUE_NEW = Case("queue x 100, each buyer new", "s", "queue", NEW_BUYERS, new_buyers=True)
QUEUE_SALE = Case("queue x 100, 20 types of 5 events", "s", "queue", SALE, new_buyers=True)
HTTP_NEW = Case("HTTP awaited, each buyer new", "s", "http", NEW_HTTP, new_buyers=True)
HTTP_SALE = Case("HTTP awaited, 20 types of 5 events", "s", "http", SALE_HTTP, new_buyers=True)
REAL_SALE = (QUEUE_NEW, QUEUE_SALE, HTTP_NEW, HTTP_SALE)
QUEUE_1 = Case("queue, 1 command a message", "c", "queue", MANY_BUYERS, commands_per_message=1)
QUEUE_100 = Case("queue, 100 commands a message", "c", "queue", MANY_BUYERS)
HTTP_200 = Case("HTTP awaited, 200 buyers", "d", "http", BUYERS_200)
LONE = Case("HTTP awaited, 1 buyer", "d", "http", Workload(buyers=1))
READS = Case("reads of a hot event, 200 readers", "h", "http", BUYERS_200, reads=True)

SHORT: Sequence[Case] = (HOT_ROW, *REAL_SALE, QUEUE_100, HTTP_200, LONE)
"""The cases in the README."""

GROWTH: Sequence[Case] = (
    HOT_ROW,
    QUEUE_SALE,
    HTTP_SALE,
    QUEUE_100,
    # New buyers' rows lie together, and in memory; those of old customers lie all over the tables.
    Case("queue x 100, buyers among all users", "c", "queue", OLD_CUSTOMERS, known_buyers=True),
    QUEUE_1,
    HTTP_200,
    LONE,
    READS,
)
"""What is measured with full tables beside empty ones."""

ALL: Sequence[Case] = (
    HOT_ROW,
    *REAL_SALE,
    BASELINE,
    QUEUE_1,
    Case("queue, 10 commands a message", "c", "queue", MANY_BUYERS, commands_per_message=10),
    QUEUE_100,
    LONE,
    Case("HTTP awaited, 16 buyers", "d", "http", Workload(buyers=16)),
    Case("HTTP awaited, 64 buyers", "d", "http", Workload(buyers=64)),
    HTTP_200,
    Case("HTTP awaited, 1,000 buyers", "d", "http", Workload(buyers=1_000)),
    replace(QUEUE_100, name="queue x 100, 2 workers", group="e", workers=2),
    replace(QUEUE_100, name="queue x 100, 4 workers", group="e", workers=4),
    replace(HTTP_200, name="HTTP 200, 2 workers", group="e", workers=2),
    replace(HTTP_200, name="HTTP 200, 4 workers", group="e", workers=4),
    replace(HTTP_200, name="HTTP 200, 2 gateways", group="e", gateways=2),
    Case("queue x 100, 100 types", "f", "queue", replace(MANY_BUYERS, ticket_types=100)),
    Case(
        "queue x 100, two-type carts", "f", "queue", replace(MANY_BUYERS, ticket_types=100, lines=2)
    ),
    Case("HTTP 200, 100 types", "f", "http", replace(BUYERS_200, ticket_types=100)),
    Case("HTTP 200, two-type carts", "f", "http", replace(BUYERS_200, ticket_types=100, lines=2)),
    Case("queue x 100, sold out", "g", "queue", replace(MANY_BUYERS, tickets=SOON_SOLD_OUT)),
    Case("HTTP 200, sold out", "g", "http", replace(BUYERS_200, tickets=SOON_SOLD_OUT)),
    READS,
)
"""The cases in `docs/performance.md`."""
