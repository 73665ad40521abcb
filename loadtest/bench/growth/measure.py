"""Full tables beside empty ones: every case in both, in turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import uvloop

from loadtest.bench.cases.catalogue import HOT_ROW, OLD_CUSTOMERS, Case
from loadtest.bench.cases.measure import Measured
from loadtest.bench.cases.rounds import Round, mean_hot_row, measure_aloud
from loadtest.bench.growth.fill import Amounts, Filled, checkpoint, fill
from loadtest.bench.growth.whole_books import check_whole_books
from loadtest.bench.system.deployment import Deployment
from loadtest.progress import say

EMPTY = Amounts(outcomes=20_000, users=OLD_CUSTOMERS.buyers, carts=OLD_CUSTOMERS.buyers)
"""As good as empty, with the statistics of tables that have been used: a database without any is
slower in its first seconds, and would make the full one look good. Old customers are in both."""


@dataclass(frozen=True, slots=True)
class Growth:
    """What was measured, round by round."""

    amounts: Amounts
    filled: Filled
    empty: Sequence[Round]
    full: Sequence[Round]
    findings: Sequence[str]
    """Where the books of the full database do not balance, before or after."""
    seconds: float


def measure_growth(
    empty: Deployment,
    full: Deployment,
    amounts: Amounts,
    cases: Sequence[Case],
    rounds: int,
    seconds: float,
) -> Growth:
    """Fill one of the two databases, and measure the cases, the hot row among them, in both."""
    filled = uvloop.run(fill(full.database_url, amounts))
    uvloop.run(checkpoint(full.database_url))
    say(f"filled in {filled.seconds:,.0f} s: {filled.database_bytes / 1e9:.2f} GB")
    findings = uvloop.run(check_whole_books(full.database_url))
    sides = {"empty": empty, "full": full}
    measured = []
    for number in range(1, rounds + 1):
        measured.append(_one_round(f"round {number} of {rounds}", sides, cases, seconds))
        # The order is reversed in each round.
        sides = dict(reversed(sides.items()))
    findings += uvloop.run(check_whole_books(full.database_url))
    return Growth(
        amounts,
        filled,
        empty=[each["empty"] for each in measured],
        full=[each["full"] for each in measured],
        findings=findings,
        seconds=seconds,
    )


def _one_round(
    where: str, sides: Mapping[str, Deployment], cases: Sequence[Case], seconds: float
) -> dict[str, Round]:
    """Measure every case once on each side; the hot row first and last."""
    measured: dict[str, dict[Case, Measured]] = {side: {} for side in sides}
    for case in (*cases, HOT_ROW):
        for side, deployment in sides.items():
            if side == "empty":  # it fills while it is measured
                uvloop.run(fill(deployment.database_url, EMPTY, quiet=True))
            # What idles beside it, the other side, takes less than a hundredth of a core.
            result = measure_aloud(f"{where}, {side:<5}", case, deployment, seconds)
            first = measured[side].get(case)
            measured[side][case] = mean_hot_row([first, result]) if first else result
    return dict(measured)
