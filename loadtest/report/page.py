"""The report of a run: one HTML page that needs nothing else, and the same as JSON."""

import json
from collections.abc import Iterable
from html import escape
from pathlib import Path

from loadtest.checks.balance import Verdict
from loadtest.measure.sales import Sales
from loadtest.report.charts import Series, chart
from loadtest.report.figures import count, milliseconds
from loadtest.report.result import Result
from loadtest.report.wording import sentence, setting

MAX_TICKET_TYPES = 20
"""More than these are summed up in one line."""
STYLE = Path(__file__).with_name("report.css")


def write_report(result: Result, folder: Path) -> Path:
    """Write `report.html` and `result.json` and return where the page is."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(result.as_json(), indent=2) + "\n")
    page = folder / "report.html"
    page.write_text(html(result))
    return page


def html(result: Result) -> str:
    """Return the page."""
    title = f"Holdfast, load {result.title}"
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>
{STYLE.read_text()}</style>
<header>
<h1>{escape(title)}</h1>
<p>{escape(result.finished_at.replace("T", " ").replace("+00:00", " UTC"))}</p>
</header>
{_verdict(result)}
{_figures(result)}
{_charts(result)}
{_outcomes(result)}
{_books(result.books) if result.books else ""}
{_sales(result.sales) if result.sales.orders else ""}
<div class="columns">
<section><h2>Settings</h2>{_list(setting(*item) for item in result.settings.items())}</section>
<section><h2>Machine <small>that sent the load</small></h2>{_list(result.machine.items())}</section>
</div>
</html>
"""


def _verdict(result: Result) -> str:
    books = result.books
    if books is None:
        return '<p class="verdict"><strong>Nothing was bought.</strong></p>'
    if books.balanced:
        notes = "".join(f" {escape(note)}" for note in books.notes)
        return (
            '<p class="verdict"><strong>The books balance.</strong>'
            f"{escape(sentence(result))} Checked with {escape(books.source)}.{notes}</p>"
        )
    findings = "".join(f"<li>{escape(finding)}</li>" for finding in books.findings)
    return (
        '<div class="verdict bad"><strong>The books do not balance.</strong>'
        f"{escape(sentence(result))}<ul>{findings}</ul></div>"
    )


def _figures(result: Result) -> str:
    latency = result.latency_ms or {}
    figures = [
        (count(result.rate), "/s", "answered"),
        (*_split(latency.get("p50")), "half are answered within (p50)"),
        (*_split(latency.get("p99")), "99 of 100 are answered within (p99)"),
    ]
    if result.accepted_ms:
        figures.append((*_split(result.accepted_ms["p99"]), "accepted (202) within (p99)"))
    items = (
        f"<li><b>{escape(value)}<small>{escape(unit)}</small></b><span>{escape(what)}</span></li>"
        for value, unit, what in figures
    )
    return f'<ul class="figures">{"".join(items)}</ul>'


def _split(value_ms: float | None) -> tuple[str, str]:
    number, _, unit = milliseconds(value_ms).partition(" ")
    return number, f" {unit}"


def _charts(result: Result) -> str:
    rows = result.timeline
    if not rows:
        return ""
    throughput = [Series("answered", "medium", [row.rate for row in rows])]
    if any(row.refused for row in rows):
        throughput.append(Series("refused", "warm", [float(row.refused) for row in rows]))
    latency = [
        Series("p99", "strong", [row.p99_ms for row in rows]),
        Series("p95", "medium", [row.p95_ms for row in rows]),
        Series("p50", "soft", [row.p50_ms for row in rows]),
    ]
    backlog = [Series("", "warm", [float(row.backlog) for row in rows])]
    return f"""
<h2>Throughput <small>answers a second</small></h2>
{chart(throughput, count, filled=True)}
<h2>Latency <small>from when a request was due to its outcome</small></h2>
{chart(latency, milliseconds)}
<h2>Backlog <small>asked for and not yet answered</small></h2>
{chart(backlog, count, filled=True)}
"""


def _outcomes(result: Result) -> str:
    rows = {
        "Asked for": result.asked,
        "Granted": result.succeeded,
        **{f"Refused: {code.replace('_', ' ')}": n for code, n in result.refusals.items()},
        "Repeats, answered as the first time": result.repeats,
        "Due and never sent": result.not_sent,
        "Not accepted by the broker": result.not_accepted,
        "Retries because the outcome was unknown": result.tries_again,
    }
    lasting = {"Asked for", "Granted"}
    shown = [(name, count(n)) for name, n in rows.items() if n or name in lasting]
    own = f"{result.own_cpu_us_per_command:g} µs of CPU a command"
    return f"<h2>Outcomes</h2>{_list([*shown, ('The load itself took', own)])}"


def _books(books: Verdict) -> str:
    shown, rest = books.lines[:MAX_TICKET_TYPES], books.lines[MAX_TICKET_TYPES:]
    rows = [
        _row(f"Ticket type {number}", line.total, line.granted, line.held)
        for number, line in enumerate(shown, start=1)
    ]
    if rest:
        sums = [[line.total, line.granted, line.held] for line in rest]
        rows.append(_row(f"{len(rest):,} more", *map(sum, zip(*sums, strict=True))))
    return (
        "<h2>Books <small>granted to buyers, and held</small></h2><table>"
        "<tr><th></th><th>tickets</th><th>granted by the answers</th><th>held</th></tr>"
        f"{''.join(rows)}</table>"
    )


def _sales(sales: Sales) -> str:
    rows = [
        ("Orders", count(sales.orders)),
        ("Sum of their totals, minor units", count(sales.ordered_amount)),
        ("Payments", count(sales.payments)),
        ("Paid, minor units", count(sales.paid_amount)),
        ("Surplus, minor units", count(sales.paid_amount - sales.accepted_amount)),
        ("Paid orders", count(sales.paid_orders)),
    ]
    return f"<h2>Orders and money <small>by the responses</small></h2>{_list(rows)}"


def _row(name: str, *numbers: int) -> str:
    cells = "".join(f"<td>{number:,}</td>" for number in numbers)
    return f"<tr><td>{name}</td>{cells}</tr>"


def _list(items: Iterable[tuple[str, str]]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in items)
    return f"<dl>{rows}</dl>"
