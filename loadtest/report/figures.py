"""Formats numbers for people."""

from loadtest.measure.histogram import Histogram


def count(number: float) -> str:
    """Format a number: `1,234`."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def milliseconds(value: float | None) -> str:
    """Format a duration in milliseconds, or seconds if it is long."""
    if value is None:
        return "-"
    if value >= 1_000:
        return f"{value / 1_000:.3g} s"
    return f"{value:.3g} ms"


def percentile(times: Histogram, percent: float) -> str:
    """Format a percentile of durations."""
    seconds = times.percentile(percent)
    return milliseconds(None if seconds is None else seconds * 1000)
