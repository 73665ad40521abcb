"""`python -m loadtest.overload`: far more than can be done, for a while, and what is done then."""

import argparse
import sys

import uvloop

from loadtest.amqp import BrokerError
from loadtest.arguments import DEFAULT_URL, MAX_CONNECTIONS
from loadtest.desk import PreparationError
from loadtest.figures import count, milliseconds
from loadtest.histogram import Histogram
from loadtest.overload.run import OverloadOptions, OverloadResult, run_overload
from loadtest.progress import Progress, say

MAX_SECONDS = 3_000
"""Tokens live an hour."""


def main() -> int:
    """Return 0 if nothing that was accepted is lost, 1 if it is, 2 if there was no run."""
    options = _read_arguments()
    try:
        result = uvloop.run(run_overload(options, Progress()))
    except (BrokerError, PreparationError) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("stopped; nothing was checked")
        return 2
    for line in summary(options, result):
        say(line)
    return 1 if result.findings else 0


def summary(options: OverloadOptions, result: OverloadResult) -> list[str]:
    """Tell of the whole run."""
    overload = result.overload
    share = result.goodput / result.peak_rate
    sent = overload.sent / result.overload_seconds
    normal = result.normal_after_seconds
    return [
        "",
        f"peak: {count(result.peak_rate)} decided a second,"
        f" p99 {_ms(result.peak.served_times, 99)}",
        f"overload: {options.times:g} times the peak due for {result.overload_seconds:g} s,"
        f" {sent / result.peak_rate:.1f} times sent ({count(sent)} a second)",
        f"goodput: {count(result.goodput)} decided a second, {share:.0%} of the peak,"
        f" p99 {_ms(overload.served_times, 99)}; {overload.pending:,} times 202",
        f"shed: {overload.shed:,}, p50 {_ms(overload.shed_times, 50)},"
        f" p99 {_ms(overload.shed_times, 99)}; unknown: {overload.unknown:,}",
        "normal again: " + ("not while it was watched" if normal is None else f"after {normal} s"),
        *(result.findings or ["Nothing that was accepted is lost, nothing refused was done."]),
    ]


def _ms(times: Histogram, percent: float) -> str:
    seconds = times.percentile(percent)
    return milliseconds(None if seconds is None else seconds * 1000)


def _read_arguments() -> OverloadOptions:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.overload",
        description="Measures the peak, asks for many times as much, and checks the books.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--url", default=DEFAULT_URL, help="a gateway")
    add("--broker-url", required=True, help="registers the buyers")
    add("--database-url", required=True, help="checks the books")
    add("--jwt-secret", required=True, help="signs the buyers' tokens")
    add("--times", type=float, default=10.0, help="how many times the peak is asked for")
    add("--seconds", type=float, default=600.0, help="how long it is asked for")
    add("--connections", type=int, default=4_000, help="on which it is asked")
    add("--patient", action="store_true", help="who is told when to come again waits until then")
    found = parser.parse_args()
    if not 1 <= found.seconds <= MAX_SECONDS:
        parser.error(f"--seconds is from 1 to {MAX_SECONDS}")
    if not 200 <= found.connections <= MAX_CONNECTIONS:
        parser.error(f"--connections is from 200 to {MAX_CONNECTIONS}")
    return OverloadOptions(
        url=found.url,
        broker_url=found.broker_url,
        database_url=found.database_url,
        jwt_secret=found.jwt_secret,
        times=found.times,
        seconds=found.seconds,
        connections=found.connections,
        patient=found.patient,
    )


if __name__ == "__main__":
    sys.exit(main())
