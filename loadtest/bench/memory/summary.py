"""What a long run does to memory and throughput, as a table, as JSON and as a picture."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.bench.memory.measure import Memory, Sample, Stretch
from loadtest.bench.memory.picture import memory_picture
from loadtest.progress import say
from loadtest.report.figures import count
from loadtest.report.result import machine

PARTS = ("worker", "gateway", "postgres", "rabbitmq")
TITLES = {"queue": "Through the queue, 100 a message", "http": "Over HTTP, awaited, 200 buyers"}
FIRST_SECONDS = 60.0


def write_memory(memory: Memory, folder: Path | None) -> None:
    """Print the table; write `memory.json` and `memory.svg` where a folder is named."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.json").write_text(json.dumps(_as_json(memory), indent=2) + "\n")
        on = machine()
        subtitle = f"{on['processor']}, {on['cores']} cores; one worker, one gateway; in MB"
        picture = memory_picture(memory.stretches, PARTS, subtitle)
        (folder / "memory.svg").write_text(picture)
        say(f"\nwritten: {folder / 'memory.json'}, {folder / 'memory.svg'}")
    say(f"\n{_markdown(memory.stretches)}")


def _markdown(stretches: Sequence[Stretch]) -> str:
    rows = [
        "| commands | worker, MB | gateway | Postgres's backends | RabbitMQ |",
        "|---:|---:|---:|---:|---:|",
    ]
    for stretch in stretches:
        rows.append(f"| **{TITLES[stretch.way]}** | | | | |")
        rows += [f"| {count(sample.commands)} | {_shown(sample)} |" for sample in stretch.samples]
        ratios = _ratios(stretch)
        rows.append(
            f"| last to first {count(stretch.step)} |"
            f" {' | '.join(f'{ratios[part]:.2f}' for part in PARTS)} |"
        )
    for stretch in stretches:
        pace = _pace(stretch)
        rows.append(
            f"\n{TITLES[stretch.way]}: {count(pace['first_rate'])}/s in the first"
            f" {pace['first_seconds']:.0f} s, {count(pace['later_rate'])}/s later:"
            f" {pace['first_to_later']:.2f}"
        )
    return "\n".join(rows)


def _shown(sample: Sample) -> str:
    """Show what each part takes, and the RSS where that is not what it takes."""
    shown = []
    for part in PARTS:
        rss, mb = sample.footprints[part].rss_mb, sample.mb(part)
        shown.append(f"{mb:.0f}" if rss == mb else f"{mb:.0f} (RSS {rss:.0f})")
    return " | ".join(shown)


def _ratios(stretch: Stretch) -> dict[str, float]:
    """Return the last memory of each part to that after the first step."""
    # The very first sample is of a start that has not yet taken what any work takes.
    first, last = stretch.samples[min(1, len(stretch.samples) - 1)], stretch.samples[-1]
    return {part: last.mb(part) / max(0.1, first.mb(part)) for part in PARTS}


def _pace(stretch: Stretch) -> dict[str, float]:
    """Compare the first minute, or the first third of a shorter run, with what came later."""
    last_at, answered = stretch.marks[-1]
    until = min(FIRST_SECONDS, last_at / 3)
    first_at, first_answered = next(mark for mark in stretch.marks if mark[0] >= until)
    first_rate = first_answered / first_at
    later = last_at - first_at
    later_rate = (answered - first_answered) / later if later else first_rate
    return {
        "first_seconds": round(first_at, 1),
        "first_rate": round(first_rate, 1),
        "later_rate": round(later_rate, 1),
        "first_to_later": round(first_rate / max(later_rate, 1e-9), 3),
    }


def _as_json(memory: Memory) -> dict[str, Any]:
    return {
        "machine": machine(),
        "commands": memory.commands,
        "ways": [
            {
                "way": stretch.way,
                "commands": stretch.samples[-1].commands,
                "step": stretch.step,
                "last_to_first_step": {
                    part: round(ratio, 3) for part, ratio in _ratios(stretch).items()
                },
                **_pace(stretch),
                "samples": [asdict(sample) for sample in stretch.samples],
            }
            for stretch in memory.stretches
        ],
    }
