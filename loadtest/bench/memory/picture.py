"""Draws memory over commands: a line for each part of the system, the ways one after the other."""

from collections.abc import Sequence

from loadtest.bench.cases.picture import WIDTH, framed
from loadtest.bench.memory.measure import Stretch
from loadtest.report.charts import nice_ticks
from loadtest.report.figures import count

LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 48, 100, 76, 28, 380
LABEL_HEIGHT = 16
WAYS = {"queue": "through the queue", "http": "over HTTP"}

Point = tuple[float, float]


def memory_picture(stretches: Sequence[Stretch], parts: Sequence[str], subtitle: str) -> str:
    """Return an SVG; `parts` are drawn in the colours of the style sheet, in their order."""
    lines: dict[str, list[Point]] = {part: [] for part in parts}
    starts, before = [], 0
    for stretch in stretches:
        starts.append((before, WAYS[stretch.way]))
        for sample in stretch.samples:
            for part in parts:
                commands = float(before + sample.commands)
                lines[part].append((commands, sample.mb(part)))
        before += stretch.samples[-1].commands
    ticks = nice_ticks(max(mb for line in lines.values() for _, mb in line))
    right = max(1, before)

    def place(commands: float, mb: float) -> Point:
        x = LEFT + (WIDTH - LEFT - RIGHT) * commands / right
        return x, HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * mb / ticks[-1]

    drawn = [_level(place(0, tick)[1], count(tick)) for tick in ticks]
    drawn += [_commands(place(tick, 0)[0], tick) for tick in nice_ticks(right)[1:] if tick <= right]
    drawn += [_start(place(commands, 0)[0], name) for commands, name in starts]
    drawn += [
        _line(number, [place(*point) for point in line])
        for number, line in enumerate(lines.values(), 1)
    ]
    drawn += _names({part: place(*line[-1])[1] for part, line in lines.items()})
    return framed("Memory over a long run", subtitle, HEIGHT, "".join(drawn))


def _level(y: float, shown: str) -> str:
    return (
        f'<line class="level" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text class="figure" x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{shown}</text>'
    )


def _commands(x: float, commands: float) -> str:
    return (
        f'<text class="figure" x="{x:.1f}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{count(commands)}</text>"
    )


def _start(x: float, name: str) -> str:
    return (
        f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{x + 6:.1f}" y="{TOP}">{name}</text>'
    )


def _line(number: int, points: Sequence[Point]) -> str:
    joined = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline class="part{number}" points="{joined}"/>'


def _names(ends: dict[str, float]) -> list[str]:
    """Name each line at its end, the names pushed apart where lines end together."""
    numbers = {part: number for number, part in enumerate(ends, 1)}
    drawn, lowest = [], float(HEIGHT)
    for part, y in sorted(ends.items(), key=lambda end: -end[1]):
        lowest = min(y + 4, lowest - LABEL_HEIGHT)
        drawn.append(
            f'<text class="name{numbers[part]}" x="{WIDTH - RIGHT + 8}" y="{lowest:.1f}">'
            f"{part}</text>"
        )
    return drawn
