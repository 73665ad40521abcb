"""Says in a table what each situation costs."""

import math
from collections.abc import Sequence

from loadtest.bench.cliffs.measure import AFTER_SECONDS, DueHolds, Opening


def markdown(
    openings: Sequence[Opening], due: Sequence[DueHolds], idle_seconds: Sequence[float]
) -> str:
    """Return the tables, a line for each measurement."""
    lines = [
        "| the first seconds after | a second | later | first / later |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| {each.state} | {each.first_rate:,.0f} | {each.later_rate:,.0f} | {each.ratio:.2f} |"
        for each in openings
    ]
    lines += [
        "",
        "| 50,000 holds fall due at once | a second before | worst second / before"
        " | mean meanwhile / before | p99 of the worst second | all free after |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| of {each.of} | {each.rate_before:,.0f} | {each.worst_rate / each.rate_before:.2f}"
        f" | {each.mean_rate / each.rate_before:.2f} | {each.worst_p99_ms:,.0f} ms"
        f" | {_seconds(each.free_seconds)} |"
        for each in due
    ]
    lines += [f"| with no buyers | - | - | - | - | {seconds:.1f} s |" for seconds in idle_seconds]
    return "\n".join(lines)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if math.isfinite(seconds) else f"over {AFTER_SECONDS:.0f} s"
