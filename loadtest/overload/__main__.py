"""`python -m loadtest.overload` offers several times the peak load and measures the goodput.

It starts a gateway and a worker of its own, or uses the deployment that the options name.
"""

import argparse
import asyncio
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import uvloop

from dev.processes.interruption import cancel_on_signals
from dev.servers.discovery import Unavailable
from dev.services import services
from loadtest.arguments import MAX_CONNECTIONS
from loadtest.bench.deployment import Deployment
from loadtest.measure.histogram import Histogram
from loadtest.overload.quota import quota
from loadtest.overload.run import OverloadOptions, OverloadResult, run_overload
from loadtest.progress import Progress, say
from loadtest.queue.amqp import BrokerError
from loadtest.queue.client import PreparationError
from loadtest.report.figures import count, milliseconds

MAX_SECONDS = 3_000
"""Tokens live an hour."""
MIN_WORKER_SHARE = 0.02


def main() -> int:
    """Return 0 if nothing that was accepted is lost, 1 if it is, 2 if there was no run."""
    asked_for = _read_arguments()
    # Told to end, it drops what it has made, as upon Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _deployed(*asked_for) as options:
            result = uvloop.run(_run(options))
    except (BrokerError, PreparationError, Unavailable) as error:
        say(str(error))
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped; nothing was checked")
        return 2
    for line in summary(options, result):
        say(line)
    return 1 if result.findings else 0


async def _run(options: OverloadOptions) -> OverloadResult:
    # An interrupt would be taken for a fault of the connection that is just read from.
    cancel_on_signals()
    return await run_overload(options, Progress())


@contextmanager
def _deployed(options: OverloadOptions, worker_share: float) -> Iterator[OverloadOptions]:
    """Start a gateway and a worker where no deployment is named. Raises `Unavailable`."""
    if options.url:
        yield options
        return
    with services("tests") as places, Deployment(places) as own:
        own.serve(workers=1, gateways=1)
        with quota(own.pids("worker"), worker_share):
            yield replace(
                options,
                url=own.gateway_urls[0],
                broker_url=own.broker_url,
                database_url=own.database_url,
                jwt_secret=own.jwt_secret,
            )


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


def _read_arguments() -> tuple[OverloadOptions, float]:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.overload",
        description="Measures the peak, asks for many times as much, and checks the books.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--url", default="", help="a gateway; with the next three. Else one of its own is started")
    add("--broker-url", default="", help="registers the buyers")
    add("--database-url", default="", help="checks the books")
    add("--jwt-secret", default="", help="signs the buyers' tokens")
    add("--times", type=float, default=10.0, help="how many times the peak is asked for")
    add("--seconds", type=float, default=600.0, help="how long it is asked for")
    add("--connections", type=int, default=4_000, help="on which it is asked")
    add("--patient", action="store_true", help="who is told when to come again waits until then")
    add("--worker-share", type=float, default=1.0, help="of the time, in which its worker may run")
    found = parser.parse_args()
    deployment = (found.url, found.broker_url, found.database_url, found.jwt_secret)
    if any(deployment) and not all(deployment):
        parser.error("a deployment is named by all four, or by none")
    if not 1 <= found.seconds <= MAX_SECONDS:
        parser.error(f"--seconds is from 1 to {MAX_SECONDS}")
    if not 200 <= found.connections <= MAX_CONNECTIONS:
        parser.error(f"--connections is from 200 to {MAX_CONNECTIONS}")
    if not MIN_WORKER_SHARE <= found.worker_share <= 1:
        parser.error(f"--worker-share is from {MIN_WORKER_SHARE} to 1")
    if any(deployment) and found.worker_share < 1:
        parser.error("--worker-share is for a worker of its own")
    options = OverloadOptions(
        url=found.url,
        broker_url=found.broker_url,
        database_url=found.database_url,
        jwt_secret=found.jwt_secret,
        times=found.times,
        seconds=found.seconds,
        connections=found.connections,
        patient=found.patient,
    )
    return options, found.worker_share


if __name__ == "__main__":
    sys.exit(main())
