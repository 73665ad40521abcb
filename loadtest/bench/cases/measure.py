"""Runs one case once, on the deployment that it needs."""

from dataclasses import asdict, dataclass, replace
from typing import Any, assert_never

import uvloop

from loadtest.bench.cases.baseline_run import run_baseline
from loadtest.bench.cases.catalogue import SALE_CONNECTIONS, Case
from loadtest.bench.cases.hot_row import measure_hot_row
from loadtest.bench.cases.new_buyers import check_each_came_once, register_new_buyers
from loadtest.bench.growth.known_buyers import known_buyers
from loadtest.bench.system.cpu import CpuMeter
from loadtest.bench.system.deployment import Deployment
from loadtest.fixtures import Account
from loadtest.http.run import run_http
from loadtest.options import HttpOptions, QueueOptions
from loadtest.progress import Progress
from loadtest.queue.run import run_queue
from loadtest.report.result import Result

WARM_UP_SECONDS = 1.0
"""At the start of each run, beside the measured seconds."""
QUIET = Progress(quiet=True)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one case in one round."""

    rate: float
    hot_rows: float | None = None
    """The rate, in those of the hot row measured around it."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: dict[str, float] | None = None
    """A command, by kind of process; `load` is the load itself."""
    findings: tuple[str, ...] = ()
    """Where the books do not balance."""
    measured_with: str = "loadtest"

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(case: Case, deployment: Deployment, seconds: float) -> Measured:
    """Raises `PreparationError`, `BrokerError` or `Unavailable`."""
    match case.way:
        case "hot row":
            deployment.stop()
            hot_row = uvloop.run(measure_hot_row(deployment.database_url, seconds))
            return Measured(hot_row.rate, measured_with=hot_row.measured_with)
        case "baseline":
            deployment.serve_baseline(case.gateways)
        case "queue" | "http":
            deployment.serve(case.workers, case.gateways)
        case _:
            assert_never(case.way)
    meter = CpuMeter(deployment.processes())
    match case.way:
        case "baseline":
            result = uvloop.run(run_baseline(_http(case, deployment, seconds), QUIET, meter))
        case "queue":
            queue, buyers = _queue(case, deployment, seconds), _registered(case, deployment)
            if buyers is not None:  # there may be fewer than the case asks for
                queue = replace(queue, workload=replace(case.workload, buyers=len(buyers)))
            result = uvloop.run(run_queue(queue, QUIET, meter, buyers))
        case "http":
            http, buyers = _http(case, deployment, seconds), _registered(case, deployment)
            result = uvloop.run(run_http(http, QUIET, meter, buyers))
        case _:
            assert_never(case.way)
    if case.new_buyers:
        check_each_came_once(result, case.workload.buyers)
    if meter.elapsed_seconds < seconds + WARM_UP_SECONDS:
        # A load takes Ctrl-C for its own end, and would leave figures of a shorter time.
        raise KeyboardInterrupt
    return _measured(result, meter.seconds)


def _registered(case: Case, deployment: Deployment) -> list[Account] | None:
    """Return the buyers that are there before the run, or None if the run registers its own."""
    count = case.workload.buyers
    if case.known_buyers:
        return uvloop.run(known_buyers(deployment.database_url, count))
    if case.new_buyers:
        return uvloop.run(register_new_buyers(deployment.database_url, count))
    return None


def _queue(case: Case, deployment: Deployment, seconds: float) -> QueueOptions:
    return QueueOptions(
        case.workload,
        deployment.broker_url,
        database_url=deployment.database_url,
        commands_per_message=case.commands_per_message,
        messages_in_flight=case.messages_in_flight,
        seconds=seconds + WARM_UP_SECONDS,
        warm_up_seconds=WARM_UP_SECONDS,
    )


def _http(case: Case, deployment: Deployment, seconds: float) -> HttpOptions:
    urls = deployment.baseline_urls if case.way == "baseline" else deployment.gateway_urls
    return HttpOptions(
        case.workload,
        tuple(urls),
        broker_url=deployment.broker_url,
        database_url=deployment.database_url,
        jwt_secret=deployment.jwt_secret,
        connections=SALE_CONNECTIONS if case.new_buyers else None,
        reads=case.reads,
        seconds=seconds + WARM_UP_SECONDS,
        warm_up_seconds=WARM_UP_SECONDS,
    )


def _measured(result: Result, cpu_seconds: dict[str, float]) -> Measured:
    latency = result.latency_ms or {}
    answered = max(1, result.answered)
    cpu_us = {name: round(cpu * 1e6 / answered, 1) for name, cpu in cpu_seconds.items()}
    return Measured(
        rate=result.rate,
        p50_ms=latency.get("p50"),
        p99_ms=latency.get("p99"),
        cpu_us=cpu_us | {"load": result.own_cpu_us_per_command},
        findings=() if result.books is None else tuple(result.books.findings),
    )
