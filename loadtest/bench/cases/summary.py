"""Medians over the rounds, and the ratio of each case to the hot rows around it."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtest.bench.cases.catalogue import HOT_ROW, Case
from loadtest.bench.cases.rounds import Round
from loadtest.report.figures import count, milliseconds
from loadtest.report.result import machine

GROUPS = {
    "a": "The limit of one transaction for each reservation",
    "s": "A real sale: each buyer comes once, for 1 to 4 tickets; over HTTP 200 connections",
    "b": "The ordinary design: a row lock for each HTTP request",
    "c": "Through the queue, one hot ticket type",
    "d": "Over HTTP, the outcome awaited, one hot ticket type",
    "e": "More workers, more gateways",
    "f": "Many ticket types, two in a cart",
    "g": "Sold out: refusals",
    "h": "Reads of a hot event",
}
COSTS = ("gateway", "worker", "baseline", "postgres", "rabbitmq", "load")


@dataclass(frozen=True, slots=True)
class Line:
    """A case over all rounds: the median of everything."""

    case: Case
    rate: float
    ratio: float
    """To the hot row."""
    p50_ms: float | None
    p99_ms: float | None
    cpu_us: dict[str, float]


def summarise(rounds: Sequence[Round]) -> list[Line]:
    """Return a line for each case that was measured."""
    return [_line(case, rounds) for case in rounds[0]]


def _line(case: Case, rounds: Sequence[Round]) -> Line:
    runs = [each[case] for each in rounds]
    costs = {
        name: [run.cpu_us[name] for run in runs if run.cpu_us and name in run.cpu_us]
        for name in COSTS
    }
    return Line(
        case,
        rate=statistics.median(run.rate for run in runs),
        ratio=statistics.median(_hot_rows(each, case) for each in rounds),
        p50_ms=_median([run.p50_ms for run in runs]),
        p99_ms=_median([run.p99_ms for run in runs]),
        cpu_us={name: statistics.median(values) for name, values in costs.items() if values},
    )


def _hot_rows(measured: Round, case: Case) -> float:
    around = measured[case].hot_rows
    return measured[case].rate / measured[HOT_ROW].rate if around is None else around


def _median(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def markdown(lines: Sequence[Line]) -> str:
    """Return the table for the documents."""
    rows = [
        "| | a second | hot rows | p50 | p99 | CPU µs a command:"
        " gateway / worker / Postgres / RabbitMQ / load |",
        "|---|---:|---:|---:|---:|---|",
    ]
    for letter, title in GROUPS.items():
        group = [line for line in lines if line.case.group == letter]
        if group:
            rows.append(f"| **{title}** | | | | | |")
        rows += [_row(line) for line in group]
    return "\n".join(rows)


def _row(line: Line) -> str:
    costs = [
        f"{line.cpu_us[name]:.0f}" if name in line.cpu_us else "-"
        for name in ("gateway", "worker", "postgres", "rabbitmq", "load")
    ]
    if "baseline" in line.cpu_us:
        costs[0] = f"{line.cpu_us['baseline']:.0f}"
    shown = " / ".join(costs) if line.cpu_us else ""
    return (
        f"| {line.case.name} | {count(line.rate)} | {line.ratio:.2f}"
        f" | {milliseconds(line.p50_ms)} | {milliseconds(line.p99_ms)} | {shown} |"
    )


def write_json(path: Path, lines: Sequence[Line], rounds: Sequence[Round], seconds: float) -> None:
    """Write the medians, and every single measurement."""
    document: dict[str, Any] = {
        "machine": machine(),
        "seconds": seconds,
        "cases": [
            {
                "name": line.case.name,
                "group": line.case.group,
                "rate": round(line.rate, 1),
                "hot_rows": round(line.ratio, 3),
                "p50_ms": line.p50_ms,
                "p99_ms": line.p99_ms,
                "cpu_us": line.cpu_us,
                "rounds": [each[line.case].as_json() for each in rounds],
            }
            for line in lines
        ],
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
