"""Draws what happened over time as SVG: lines with their names at their ends, no script."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 860, 200
LEFT, RIGHT, TOP, BOTTOM = 64, 76, 12, 26
MAX_POINTS = 400
"""A longer run is drawn in steps of several seconds, each as its worst second."""
LABEL_HEIGHT = 14

Value = float | None
Show = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    style: str
    """A class in the style sheet of the page."""
    values: Sequence[Value]


def chart(series: Sequence[Series], show: Show, *, filled: bool = False) -> str:
    """Draw series of a value for each second; None leaves a gap."""
    seconds = max(len(each.values) for each in series)
    step = math.ceil(max(seconds, 1) / MAX_POINTS)
    lines = [Series(each.name, each.style, thin(each.values, step)) for each in series]
    peak = max((value for line in lines for value in line.values if value is not None), default=0)
    ticks = nice_ticks(peak)
    plot = _Plot(points=max(len(line.values) for line in lines), top_value=ticks[-1])
    parts = [f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img">']
    parts += [_grid_line(plot.y(tick), show(tick)) for tick in ticks]
    parts += [_second_mark(plot, second, step) for second in _second_marks(seconds, step)]
    for line in lines:
        parts += _line(plot, line, filled=filled)
    parts += _end_labels(plot, lines)
    parts += _hints(plot, lines, step, show)
    return "".join([*parts, "</svg>"])


def thin(values: Sequence[Value], step: int) -> list[Value]:
    """Keep the highest of every `step` values."""
    chunks = [values[start : start + step] for start in range(0, len(values), step)]
    return [max((v for v in chunk if v is not None), default=None) for chunk in chunks]


def nice_ticks(peak: float) -> list[float]:
    """Return round numbers from 0 up to the first that is no less than `peak`."""
    if peak <= 0:
        return [0.0, 1.0]
    magnitude = 10 ** math.floor(math.log10(peak / 3))
    gap = next(m * magnitude for m in (1, 2, 2.5, 5, 10) if peak / (m * magnitude) <= 4)
    return [gap * number for number in range(math.ceil(peak / gap) + 1)]


@dataclass(frozen=True, slots=True)
class _Plot:
    points: int
    top_value: float

    def x(self, point: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * point / max(self.points - 1, 1)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top_value


def _grid_line(y: float, label: str) -> str:
    return (
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="tick" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{label}</text>'
    )


def _second_marks(seconds: int, step: int) -> list[int]:
    gap = max(1, round(nice_ticks(seconds)[1]), step)
    return list(range(gap, seconds + 1, gap))


def _second_mark(plot: _Plot, second: int, step: int) -> str:
    x = plot.x((second - 1) / step)
    return (
        f'<text class="tick" x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">{second:,} s</text>'
    )


def _line(plot: _Plot, line: Series, *, filled: bool) -> list[str]:
    """Draw the line, in pieces where values are missing."""
    pieces: list[list[str]] = [[]]
    for point, value in enumerate(line.values):
        if value is None:
            pieces.append([])
        else:
            pieces[-1].append(f"{plot.x(point):.1f},{plot.y(value):.1f}")
    drawn = []
    for piece in filter(None, pieces):
        if filled and len(piece) > 1:
            floor = plot.y(0)
            start, end = piece[0].partition(",")[0], piece[-1].partition(",")[0]
            around = f"{start},{floor:.1f} {' '.join(piece)} {end},{floor:.1f}"
            drawn.append(f'<polygon class="area {line.style}" points="{around}"/>')
        # A lone point is drawn as a dot: a line to itself, with round ends.
        points = " ".join(piece if len(piece) > 1 else piece * 2)
        drawn.append(f'<polyline class="line {line.style}" points="{points}"/>')
    return drawn


def _end_labels(plot: _Plot, lines: Sequence[Series]) -> list[str]:
    """Name each line where it ends, the names pushed apart where lines end together."""
    ends = []
    for line in lines:
        last = next((value for value in reversed(line.values) if value is not None), None)
        if last is not None and line.name:
            ends.append((plot.y(last), line))
    labels, lowest = [], float(HEIGHT)
    for y, line in sorted(ends, key=lambda end: -end[0]):
        lowest = min(y, lowest - LABEL_HEIGHT)
        labels.append(
            f'<text class="name {line.style}" x="{WIDTH - RIGHT + 8}" y="{lowest + 4:.1f}">'
            f"{escape(line.name)}</text>"
        )
    return labels


def _hints(plot: _Plot, lines: Sequence[Series], step: int, show: Show) -> list[str]:
    """Let each second tell its values when it is pointed at."""
    hints = []
    width = (WIDTH - LEFT - RIGHT) / max(plot.points - 1, 1)
    for point in range(plot.points):
        texts = [
            f"{line.name} {show(line.values[point] or 0)}".strip()
            for line in lines
            if point < len(line.values) and line.values[point] is not None
        ]
        hint = escape(f"second {point * step + 1:,}: {', '.join(texts) or 'nothing'}")
        hints.append(
            f'<rect class="hint" x="{plot.x(point) - width / 2:.1f}" y="{TOP}" width="{width:.1f}"'
            f' height="{HEIGHT - TOP - BOTTOM}"><title>{hint}</title></rect>'
        )
    return hints
