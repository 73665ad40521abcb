"""Measures cases in turn, and prints a line for each."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from loadtest.bench.cases.catalogue import HOT_ROW, Case
from loadtest.bench.cases.measure import Measured, measure
from loadtest.bench.system.deployment import Deployment
from loadtest.progress import say
from loadtest.report.figures import count, milliseconds

Round = Mapping[Case, Measured]


def one_round(where: str, cases: Sequence[Case], deployment: Deployment, seconds: float) -> Round:
    """Measure every case once, and the hot row before and after each group of them.

    The machine's speed may change within minutes, so a case is compared with the hot rows around
    it.
    """
    others = [case for case in cases if case is not HOT_ROW]
    before = measure_aloud(where, HOT_ROW, deployment, seconds)
    hot_rows, measured = [before], {}
    for _, group in groupby(others, key=lambda case: case.group):
        in_group = {case: measure_aloud(where, case, deployment, seconds) for case in group}
        after = measure_aloud(where, HOT_ROW, deployment, seconds)
        hot_row = mean_hot_row([before, after])
        for case, result in in_group.items():
            measured[case] = replace(result, hot_rows=result.rate / hot_row.rate)
        hot_rows.append(after)
        before = after
    return {HOT_ROW: mean_hot_row(hot_rows), **measured}


def mean_hot_row(measured: Sequence[Measured]) -> Measured:
    """Return the hot row of several measurements of it."""
    rate = statistics.mean(each.rate for each in measured)
    return Measured(rate, hot_rows=1.0, measured_with=measured[0].measured_with)


def measure_aloud(where: str, case: Case, deployment: Deployment, seconds: float) -> Measured:
    """Measure a case once, and say what came of it."""
    result = measure(case, deployment, seconds)
    details = ""
    if result.p50_ms is not None:
        details = f"p50 {milliseconds(result.p50_ms)}, p99 {milliseconds(result.p99_ms)}"
    elif case.way == "hot row":
        details = f"with {result.measured_with}"
    say(f"{where}   {case.name:<38} {count(result.rate):>8}/s   {details}")
    for finding in result.findings:
        say(f"    {finding}")
    return result
