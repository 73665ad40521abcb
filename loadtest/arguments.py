"""Reads the command line into the options of a run."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from loadtest.options import HttpOptions, QueueOptions
from loadtest.workload import Workload
from shared.bodies import MAX_LINES, MAX_TOTAL_QUANTITY
from shared.messages import MAX_COMMANDS_A_MESSAGE

MAX_BUYERS = 200_000
MAX_CONNECTIONS = 20_000
MAX_TICKET_TYPES = 10_000
MAX_HTTP_SECONDS = 3_300
"""Tokens live an hour."""
DAY_SECONDS = 86_400
DEFAULT_URL = "http://127.0.0.1:8000"

Number = TypeVar("Number", int, float)


def read_arguments(arguments: list[str]) -> tuple[QueueOptions | HttpOptions, Path | None]:
    """Return the options and the folder of the report; exit with a message if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="python -m loadtest",
        description="Sends load to a running Holdfast. Exits with 0 only if the books balance.",
    )
    targets = parser.add_subparsers(dest="target", required=True, metavar="queue|http")
    queue = targets.add_parser(
        "queue",
        help="publish commands to the exchange and await the replies",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    http = targets.add_parser(
        "http",
        help="act as buyers at the gateway",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    _add_queue(queue)
    _add_http(http)
    _add_common(queue, buyers=2_000, most_buyers=MAX_BUYERS, most_seconds=DAY_SECONDS)
    _add_common(http, buyers=200, most_buyers=MAX_CONNECTIONS, most_seconds=MAX_HTTP_SECONDS)
    found = parser.parse_args(arguments)
    if found.lines > found.ticket_types:
        parser.error("--lines must not be more than --ticket-types")
    if found.pay and not found.checkout:
        parser.error("--pay needs --checkout: only orders are paid")
    workload = Workload(
        buyers=found.buyers,
        ticket_types=found.ticket_types,
        skew=found.skew,
        lines=found.lines,
        repeats=found.repeats,
        tickets=found.tickets,
        check_out=found.checkout,
        pay=found.pay,
    )
    if found.target == "queue":
        return _queue_options(found, workload), found.report
    if found.jwt_secret and not found.broker_url:
        parser.error("--jwt-secret needs --broker-url: only the queue registers without passwords")
    return _http_options(found, workload), found.report


def _add_queue(queue: argparse.ArgumentParser) -> None:
    queue.add_argument("--broker-url", required=True, help="amqp://user:pass@host:port/vhost")
    queue.add_argument(
        "--commands-per-message",
        type=whole_number(1, MAX_COMMANDS_A_MESSAGE),
        default=100,
        metavar="N",
        help="commands in a message",
    )
    queue.add_argument(
        "--in-flight",
        type=whole_number(1, 10_000),
        default=20,
        metavar="N",
        help="how many messages may await their reply",
    )


def _add_http(http: argparse.ArgumentParser) -> None:
    http.add_argument(
        "--url",
        action="append",
        help=f"a gateway; several may be given, which share the buyers (default: {DEFAULT_URL})",
    )
    http.add_argument("--broker-url", help="register buyers through the queue, which is faster")
    http.add_argument("--jwt-secret", help="sign the buyers' tokens instead of logging them in")
    http.add_argument(
        "--mode",
        choices=("await", "poll"),
        default="await",
        help="await the outcome, or take a 202 and poll",
    )
    http.add_argument(
        "--poll-seconds",
        type=number(0.01, 60),
        default=0.1,
        metavar="S",
        help="how long a buyer waits before each poll",
    )
    http.add_argument("--reads", action="store_true", help="only read the event")


def _add_common(
    parser: argparse.ArgumentParser, *, buyers: int, most_buyers: int, most_seconds: int
) -> None:
    add = parser.add_argument
    add("--database-url", help="check the books in the tables themselves")
    add(
        "--rate",
        type=number(0.1, 1_000_000),
        metavar="N",
        help="commands a second, in an open loop; without it, a closed loop",
    )
    add("--buyers", type=whole_number(1, most_buyers), default=buyers, metavar="N")
    add("--ticket-types", type=whole_number(1, MAX_TICKET_TYPES), default=1, metavar="N")
    add(
        "--skew",
        type=number(0, 10),
        default=0.0,
        metavar="S",
        help="exponent of the Zipf distribution of ticket types",
    )
    add(
        "--lines",
        type=whole_number(1, MAX_LINES),
        default=1,
        metavar="N",
        help="ticket types in each reservation",
    )
    add(
        "--repeats",
        type=number(0, 1),
        default=0.0,
        metavar="SHARE",
        help="share of commands that are sent again under the same ID",
    )
    add(
        "--tickets",
        type=whole_number(0, MAX_TOTAL_QUANTITY),
        default=MAX_TOTAL_QUANTITY,
        metavar="N",
        help="of each type; with few, they sell out",
    )
    add(
        "--checkout",
        type=number(0, 1),
        default=0.0,
        metavar="SHARE",
        help="share of granted reservations after which the buyer checks out",
    )
    add(
        "--pay",
        type=number(0, 1),
        default=0.0,
        metavar="SHARE",
        help="share of orders that the payment agent records as paid",
    )
    add("--seconds", type=number(1, most_seconds), default=20.0, metavar="S")
    add(
        "--warm-up",
        type=number(0, most_seconds),
        default=0.0,
        metavar="S",
        help="seconds at the start that do not count in the figures",
    )
    add("--report", type=Path, metavar="FOLDER", help="write report.html and result.json there")


def _queue_options(found: argparse.Namespace, workload: Workload) -> QueueOptions:
    return QueueOptions(
        workload,
        broker_url=found.broker_url,
        database_url=found.database_url,
        commands_per_message=found.commands_per_message,
        messages_in_flight=found.in_flight,
        rate_per_second=found.rate,
        seconds=found.seconds,
        warm_up_seconds=found.warm_up,
    )


def _http_options(found: argparse.Namespace, workload: Workload) -> HttpOptions:
    return HttpOptions(
        workload,
        urls=tuple(found.url or [DEFAULT_URL]),
        broker_url=found.broker_url,
        database_url=found.database_url,
        jwt_secret=found.jwt_secret,
        mode=found.mode,
        poll_seconds=found.poll_seconds,
        reads=found.reads,
        rate_per_second=found.rate,
        seconds=found.seconds,
        warm_up_seconds=found.warm_up,
    )


def whole_number(least: int, most: int) -> Callable[[str], int]:
    """Return the type of an option that takes a whole number within these bounds."""
    return _bounded(int, "whole number", least, most)


def number(least: float, most: float) -> Callable[[str], float]:
    """Return the type of an option that takes a number within these bounds."""
    return _bounded(float, "number", least, most)


def _bounded(
    kind: Callable[[str], Number], name: str, least: float, most: float
) -> Callable[[str], Number]:
    def read(text: str) -> Number:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{text} is not from {least:,} to {most:,}")
        return value

    read.__name__ = name  # argparse shows it
    return read
