"""Audits the books once, or at an interval, and prints its findings.

The exit code is 0 if the books balance, 1 if they do not, 2 if they could not be read.
"""

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from prometheus_client import CollectorRegistry, start_http_server
from pydantic import BaseModel, Field

from shared.environment import PostgresUrl, read_settings
from worker.audit.checks import CHECKS
from worker.audit.metrics import AuditMetrics
from worker.audit.snapshot import SNAPSHOT_ERRORS, Report, take_snapshot

BALANCED, UNBALANCED, NOT_READ = 0, 1, 2
"""Exit codes."""

Show = Callable[[Report], str]


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    if options.metrics is not None and options.watch is None:
        _parser().error("--metrics goes with --watch")
    database_url = read_settings(Settings).database_url
    show = as_json if options.json else as_text
    if options.watch is None:
        return asyncio.run(_audit(database_url, show, None))
    metrics = AuditMetrics(registry := CollectorRegistry())
    if options.metrics is not None:
        start_http_server(options.metrics, addr=options.metrics_host, registry=registry)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_watch(database_url, show, metrics, options.watch))
    return BALANCED


async def _watch(
    database_url: str, show: Show, metrics: AuditMetrics, every_seconds: float
) -> None:
    while True:
        await _audit(database_url, show, metrics)
        await asyncio.sleep(every_seconds)


async def _audit(database_url: str, show: Show, metrics: AuditMetrics | None) -> int:
    try:
        report = await take_snapshot(database_url)
    except SNAPSHOT_ERRORS as error:
        # The text alone may be empty, as that of a time-out is.
        sys.stderr.write(f"The books cannot be read: {type(error).__name__}: {error}\n")
        if metrics:
            metrics.failed()
        return NOT_READ
    sys.stdout.write(f"{show(report)}\n")
    sys.stdout.flush()
    if metrics:
        metrics.observe(report)
    return BALANCED if report.balanced else UNBALANCED


class Settings(BaseModel):
    database_url: PostgresUrl = Field(repr=False)


def as_json(report: Report) -> str:
    return json.dumps({"balanced": report.balanced, **asdict(report)})


def as_text(report: Report) -> str:
    lines = [f"{'findings':>8}  rule"]
    for check in CHECKS:
        lines.append(f"{report.counts[check.name]:>8}  {check.rule}")
        found = report.warnings if check.is_warning else report.findings
        of_check = [finding for finding in found if finding.check == check.name]
        lines += [f"{'':>8}    {finding.subject}: {finding.detail}" for finding in of_check]
        if (more := report.counts[check.name] - len(of_check)) > 0:
            lines.append(f"{'':>8}    and {more} more")
    verdict = "The books balance." if report.balanced else "The books do not balance."
    return "\n".join((*lines, f"{verdict} ({report.seconds:.2f} s)"))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m worker.audit",
        description="Checks the books of the system in HOLDFAST_DATABASE_URL.",
        epilog="Exit code: 0 they balance, 1 they do not, 2 they could not be read.",
    )
    parser.add_argument("--json", action="store_true", help="print each report as one line of JSON")
    parser.add_argument("--watch", type=_seconds, metavar="SECONDS", help="audit at this interval")
    parser.add_argument("--metrics", type=int, metavar="PORT", help="serve /metrics on this port")
    parser.add_argument(
        "--metrics-host",
        default="127.0.0.1",
        metavar="HOST",
        help="address of /metrics (127.0.0.1)",
    )
    return parser


def _seconds(text: str) -> float:
    if (seconds := float(text)) <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
