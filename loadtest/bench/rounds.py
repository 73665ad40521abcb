"""Measures cases in turn, a line for each as it is done."""

from collections.abc import Mapping, Sequence

from loadtest.bench.cases import HOT_ROW, Case
from loadtest.bench.deployment import Deployment
from loadtest.bench.measure import Measured, measure
from loadtest.figures import count, milliseconds
from loadtest.progress import say

Round = Mapping[Case, Measured]


def one_round(where: str, cases: Sequence[Case], deployment: Deployment, seconds: float) -> Round:
    """Measure every case once; the hot row first and last, for the machine's pace may change."""
    measured = {case: measure_aloud(where, case, deployment, seconds) for case in cases}
    again = measure_aloud(where, HOT_ROW, deployment, seconds)
    measured[HOT_ROW] = mean_hot_row(measured[HOT_ROW], again)
    return measured


def mean_hot_row(first: Measured, last: Measured) -> Measured:
    """Return the hot row of a round, from before and after its cases."""
    return Measured((first.rate + last.rate) / 2, measured_with=first.measured_with)


def measure_aloud(where: str, case: Case, deployment: Deployment, seconds: float) -> Measured:
    """Measure a case once, and say what came of it."""
    result = measure(case, deployment, seconds)
    told = ""
    if result.p50_ms is not None:
        told = f"p50 {milliseconds(result.p50_ms)}, p99 {milliseconds(result.p99_ms)}"
    elif case.way == "hot row":
        told = f"with {result.measured_with}"
    say(f"{where}   {case.name:<38} {count(result.rate):>8}/s   {told}")
    for finding in result.findings:
        say(f"    {finding}")
    return result
