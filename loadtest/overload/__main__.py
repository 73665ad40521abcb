"""`python -m loadtest.overload`: offers several times the peak load and measures the goodput.

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
from loadtest.arguments import MAX_CONNECTIONS, number, whole_number
from loadtest.bench.system.deployment import Deployment
from loadtest.overload.quota import quota
from loadtest.overload.run import OverloadOptions, OverloadResult, run_overload
from loadtest.progress import Progress, say
from loadtest.queue.amqp import BrokerError
from loadtest.queue.client import PreparationError
from loadtest.report.figures import count, percentile

MAX_SECONDS = 3_000
"""Tokens live an hour."""
MIN_CONNECTIONS = 200
MIN_WORKER_SHARE = 0.02


def main() -> int:
    """Return 0 if no accepted command is lost, 1 if one is, 2 if there was no run."""
    asked_for = _read_arguments()
    # On SIGTERM, clean up as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _deployed(*asked_for) as options:
            result = uvloop.run(_run(options))
    except (BrokerError, PreparationError, Unavailable) as error:
        say(str(error))
        return 2
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped; the books were not checked")
        return 2
    for line in summary(options, result):
        say(line)
    return 1 if result.findings else 0


async def _run(options: OverloadOptions) -> OverloadResult:
    # A KeyboardInterrupt would be reported as a fault of the connection being read.
    cancel_on_signals()
    return await run_overload(options, Progress())


@contextmanager
def _deployed(options: OverloadOptions, worker_share: float) -> Iterator[OverloadOptions]:
    """Start a gateway and a worker if the options name no deployment. Raises `Unavailable`."""
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
    """Return the lines that summarise the run."""
    overload = result.overload
    share = result.goodput / result.peak_rate
    sent = overload.sent / result.overload_seconds
    normal = result.normal_after_seconds
    return [
        "",
        f"peak: {count(result.peak_rate)} decided a second,"
        f" p99 {percentile(result.peak.served_times, 99)}",
        f"overload: {options.times:g} times the peak offered for {result.overload_seconds:g} s,"
        f" {sent / result.peak_rate:.1f} times sent ({count(sent)} a second)",
        f"goodput: {count(result.goodput)} decided a second, {share:.0%} of the peak,"
        f" p99 {percentile(overload.served_times, 99)}; {overload.pending:,} times 202",
        f"shed: {overload.shed:,}, p50 {percentile(overload.shed_times, 50)},"
        f" p99 {percentile(overload.shed_times, 99)}; unknown: {overload.unknown:,}",
        "recovered: " + ("not while measured" if normal is None else f"after {normal} s"),
        *(result.findings or ["No accepted command is lost, and no refused command was applied."]),
    ]


def _read_arguments() -> tuple[OverloadOptions, float]:
    parser = argparse.ArgumentParser(
        prog="python -m loadtest.overload",
        description="Measures the peak, offers several times as much, and checks the books.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--url", default="", help="a gateway; needs the next three. By default one is started")
    add("--broker-url", default="", help="registers the buyers")
    add("--database-url", default="", help="checks the books")
    add("--jwt-secret", default="", help="signs the buyers' tokens")
    add("--times", type=float, default=10.0, help="the offered load, as a multiple of the peak")
    add("--seconds", type=number(1, MAX_SECONDS), default=600.0, help="duration of the overload")
    connections = whole_number(MIN_CONNECTIONS, MAX_CONNECTIONS)
    add("--connections", type=connections, default=4_000, help="how many are opened")
    add("--patient", action="store_true", help="clients honour Retry-After")
    share = number(MIN_WORKER_SHARE, 1)
    add("--worker-share", type=share, default=1.0, help="CPU share of the worker that it starts")
    found = parser.parse_args()
    deployment = (found.url, found.broker_url, found.database_url, found.jwt_secret)
    if any(deployment) and not all(deployment):
        parser.error("give all four options of a deployment, or none")
    if any(deployment) and found.worker_share < 1:
        parser.error("--worker-share needs a worker that this command starts")
    options = OverloadOptions(
        url=found.url,
        broker_url=found.broker_url,
        database_url=found.database_url,
        jwt_secret=found.jwt_secret,
        times=found.times,
        seconds=found.seconds,
        connections=found.connections,
        # Each connection is a client of its own: a gateway delays a user that retries early.
        buyers=found.connections,
        patient=found.patient,
    )
    return options, found.worker_share


if __name__ == "__main__":
    sys.exit(main())
