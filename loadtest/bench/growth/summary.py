"""What growth costs, as a table, as JSON, and as pairs of bars."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from loadtest.bench.cases.picture import BAR, FIGURES, NAMES, WIDTH, framed
from loadtest.bench.cases.summary import COSTS, Line, summarise
from loadtest.bench.growth.fill import Amounts
from loadtest.bench.growth.measure import EMPTY, Growth
from loadtest.progress import say
from loadtest.report.figures import count, milliseconds
from loadtest.report.result import machine

TOP, PAIR = 84, 52


@dataclass(frozen=True, slots=True)
class Pair:
    """A case with empty tables and with full ones, each a median over the rounds."""

    empty: Line
    full: Line

    @property
    def name(self) -> str:
        return self.empty.case.name

    @property
    def ratio(self) -> float:
        return self.full.rate / self.empty.rate


def write_growth(growth: Growth, folder: Path | None, subtitle: str) -> None:
    """Print the table; write `growth.json` and `growth.svg` where a folder is named."""
    pairs = [
        Pair(empty, full)
        for empty, full in zip(summarise(growth.empty), summarise(growth.full), strict=True)
    ]
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        document = _as_json(growth, pairs)
        (folder / "growth.json").write_text(json.dumps(document, indent=2) + "\n")
        (folder / "growth.svg").write_text(_picture(pairs, f"{_full(growth)}; {subtitle}"))
        say(f"\nwritten: {folder / 'growth.json'}, {folder / 'growth.svg'}")
    say(f"\nFull: {_full(growth)}. Empty: {_shown(EMPTY)}.\n\n{_markdown(pairs)}")


def _full(growth: Growth) -> str:
    return f"{_shown(growth.amounts)}, {growth.filled.database_bytes / 1e9:.2g} GB"


def _shown(amounts: Amounts) -> str:
    return f"{amounts.outcomes:,} outcomes, {amounts.users:,} users, {amounts.carts:,} carts"


def _markdown(pairs: Sequence[Pair]) -> str:
    rows = [
        "| | empty, a second | full, a second | full to empty | p99 empty | p99 full"
        " | Postgres, CPU µs a command: empty, full | everything: empty, full |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for pair in pairs:
        empty, full = pair.empty, pair.full
        rows.append(
            f"| {pair.name} | {count(empty.rate)} | {count(full.rate)} | {pair.ratio:.2f}"
            f" | {milliseconds(empty.p99_ms)} | {milliseconds(full.p99_ms)}"
            f" | {_postgres(empty)}, {_postgres(full)}"
            f" | {_everything(empty)}, {_everything(full)} |"
        )
    return "\n".join(rows)


def _postgres(line: Line) -> str:
    return f"{line.cpu_us['postgres']:.0f}" if "postgres" in line.cpu_us else "-"


def _everything(line: Line) -> str:
    known = [line.cpu_us[name] for name in COSTS if name in line.cpu_us]
    return f"{sum(known):.0f}" if known else "-"


def _as_json(growth: Growth, pairs: Sequence[Pair]) -> dict[str, Any]:
    return {
        "machine": machine(),
        "seconds": growth.seconds,
        "empty": asdict(EMPTY),
        "full": asdict(growth.amounts) | asdict(growth.filled),
        "cases": [
            {
                "name": pair.name,
                "ratio": round(pair.ratio, 3),
                "empty": _line(pair.empty, growth.empty),
                "full": _line(pair.full, growth.full),
            }
            for pair in pairs
        ],
    }


def _line(line: Line, rounds: Sequence[Any]) -> dict[str, Any]:
    return {
        "rate": round(line.rate, 1),
        "hot_rows": round(line.ratio, 3),
        "p50_ms": line.p50_ms,
        "p99_ms": line.p99_ms,
        "cpu_us": line.cpu_us,
        "rounds": [each[line.case].as_json() for each in rounds],
    }


def _picture(pairs: Sequence[Pair], subtitle: str) -> str:
    """Return an SVG with two bars for each case, the empty one always as long."""
    scale = (WIDTH - NAMES - FIGURES) / max(1.0, *(pair.ratio for pair in pairs))
    parts = []
    for place, pair in enumerate(pairs):
        y = TOP + place * PAIR
        parts.append(f'<text class="group" x="0" y="{y}">{escape(pair.name)}</text>')
        parts += _bar("measure", y, scale, f"{count(pair.empty.rate)}/s empty")
        shown = f'<tspan class="ratio">{pair.ratio:.2f}</tspan>  {count(pair.full.rate)}/s full'
        parts += _bar("bar", y + BAR + 4, scale * pair.ratio, shown)
    title = "With full tables as with empty ones"
    return framed(title, subtitle, TOP + len(pairs) * PAIR - 16, "".join(parts))


def _bar(style: str, y: float, width: float, shown: str) -> list[str]:
    return [
        f'<rect class="{style}" x="{NAMES}" y="{y - BAR + 2}" width="{max(1.0, width):.1f}"'
        f' height="{BAR}" rx="2"/>',
        f'<text class="figure" x="{NAMES + width + 8:.1f}" y="{y}">{shown}</text>',
    ]
