"""Percentiles are within 1% of the truth, and memory does not grow with what is counted."""

import random

import pytest

from loadtest.measure.histogram import MAX_SECONDS, Histogram


def test_nothing_has_no_percentile() -> None:
    assert Histogram().percentile(99) is None
    assert Histogram().milliseconds() is None


@pytest.mark.parametrize("percent", [1, 50, 90, 99, 99.9, 100])
def test_a_percentile_is_off_by_one_per_cent_at_most(percent: float) -> None:
    durations = sorted(random.Random(7).lognormvariate(-4, 1.5) for _ in range(20_000))
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    truth = durations[max(0, round(len(durations) * percent / 100) - 1)]
    assert histogram.percentile(percent) == pytest.approx(truth, rel=0.011)


def test_a_message_counts_for_each_of_its_commands() -> None:
    histogram = Histogram()
    histogram.add(0.1, 99)
    histogram.add(10.0)
    assert histogram.count == 100
    assert histogram.percentile(99) == pytest.approx(0.1, rel=0.011)
    assert histogram.percentile(100) == pytest.approx(10.0, rel=0.011)


def test_merging_counts_both() -> None:
    one, other, both = Histogram(), Histogram(), Histogram()
    for number in range(1, 200):
        (one if number % 2 else other).add(number / 1000)
        both.add(number / 1000)
    one.merge(other)
    assert one.milliseconds() == both.milliseconds()


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-12, MAX_SECONDS, 1e9])
def test_a_value_out_of_range_counts_at_the_nearest_bound(seconds: float) -> None:
    histogram = Histogram()
    histogram.add(seconds)
    assert histogram.count == 1
    assert (histogram.percentile(50) or 0) <= MAX_SECONDS
