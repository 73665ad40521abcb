"""Numbers as people read them."""


def count(number: float) -> str:
    """Write a number as people read it: `1,234`."""
    return f"{number:,.0f}" if number >= 10 or number == int(number) else f"{number:.1f}"


def milliseconds(value: float | None) -> str:
    """Write a duration in the unit that suits it."""
    if value is None:
        return "-"
    if value >= 1_000:
        return f"{value / 1_000:.3g} s"
    return f"{value:.3g} ms"
