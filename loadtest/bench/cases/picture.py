"""Draws the ratios as bars, the hot row as the measure: one picture that needs nothing else."""

from collections.abc import Sequence
from html import escape

from loadtest.bench.cases.summary import GROUPS, Line
from loadtest.report.figures import count

WIDTH, NAMES, FIGURES = 860, 260, 150
ROW, GROUP, TOP = 24, 34, 84
BAR = 14

STYLE = """
svg { color-scheme: light dark; }
text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #55524c;
  paint-order: stroke; stroke: #fcfbf9; stroke-width: 5px; stroke-linejoin: round; }
.title { font-size: 17px; font-weight: 600; fill: #1d1c1a; }
.group { font-weight: 600; fill: #1d1c1a; }
.figure { font-variant-numeric: tabular-nums; }
.ratio { font-weight: 600; fill: #1d1c1a; }
.bar { fill: #3d8fb0; }
.measure { fill: #c2782b; }
.mark { stroke: #c2782b; stroke-dasharray: 2 3; }
.level { stroke: #e4e1db; }
polyline { fill: none; stroke-width: 2px; stroke-linejoin: round; }
.part1 { stroke: #3d8fb0; } .name1 { fill: #2c7390; }
.part2 { stroke: #c2782b; } .name2 { fill: #9c5c17; }
.part3 { stroke: #5d8a4a; } .name3 { fill: #476d37; }
.part4 { stroke: #8f6bab; } .name4 { fill: #755391; }
.paper { fill: #fcfbf9; }
@media (prefers-color-scheme: dark) {
  text { fill: #a3a099; stroke: #15171a; } .title, .group, .ratio { fill: #e9e7e3; }
  .bar { fill: #4fa3c6; }
  .measure { fill: #e0a057; }
  .mark { stroke: #e0a057; }
  .level { stroke: #2b2e33; }
  .part1 { stroke: #4fa3c6; } .name1 { fill: #6fb8d6; }
  .part2 { stroke: #e0a057; } .name2 { fill: #e0a057; }
  .part3 { stroke: #86b872; } .name3 { fill: #86b872; }
  .part4 { stroke: #b493cf; } .name4 { fill: #b493cf; }
  .paper { fill: #15171a; }
}
"""


def picture(lines: Sequence[Line], subtitle: str) -> str:
    """Return an SVG with a bar for each line, as long as its ratio to the hot row."""
    longest = max(line.ratio for line in lines)
    scale = (WIDTH - NAMES - FIGURES) / longest
    y = TOP
    parts = []
    for letter, title in GROUPS.items():
        group = [line for line in lines if line.case.group == letter]
        if not group:
            continue
        parts.append(f'<text class="group" x="0" y="{y}">{escape(title)}</text>')
        for line in group:
            y += ROW
            parts.append(_bar(line, y, scale))
        y += GROUP
    height = y - GROUP + ROW
    mark = NAMES + scale
    parts.insert(
        0,
        f'<line class="mark" x1="{mark:.1f}" x2="{mark:.1f}" y1="{TOP - 12}" y2="{height - 20}"/>',
    )
    title = "How many times as fast as locking one row for each reservation"
    return framed(title, subtitle, height, "".join(parts))


def framed(title: str, subtitle: str, height: float, drawn: str) -> str:
    """Return an SVG of what is drawn, below a title and a subtitle."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-24 -8 {WIDTH + 48} {height + 8:g}"'
        f' role="img" aria-label="{escape(title)}"><style>{STYLE}</style>'
        f'<rect class="paper" x="-24" y="-8" width="{WIDTH + 48}" height="{height + 8:g}" rx="10"/>'
        f'<text class="title" x="0" y="26">{escape(title)}</text>'
        f'<text x="0" y="47">{escape(subtitle)}</text>{drawn}</svg>\n'
    )


def _bar(line: Line, y: float, scale: float) -> str:
    style = "measure" if line.case.group == "a" else "bar"
    width = max(1.0, line.ratio * scale)
    figure_x = NAMES + width + 8
    return (
        f'<text x="0" y="{y}">{escape(line.case.name)}</text>'
        f'<rect class="{style}" x="{NAMES}" y="{y - BAR + 2}" width="{width:.1f}" height="{BAR}"'
        f' rx="2"/><text class="figure" x="{figure_x:.1f}" y="{y}">'
        f'<tspan class="ratio">{line.ratio:.2g}</tspan>  {count(line.rate)}/s</text>'
    )
