"""Says in tables what orders cost."""

from collections.abc import Sequence
from statistics import median

from loadtest.bench.orders.measure import Cancelling, OrderRates

RATES = (
    ("check-out of a cart with one line, queue x 100", "check_outs"),
    ("recording a payment, queue x 100, one payment agent", "payments"),
    ("whole sales over HTTP, awaited, 200 buyers", "http_sales"),
)


def markdown(
    empty: Sequence[OrderRates], full: Sequence[OrderRates], cancelled: Sequence[Cancelling]
) -> str:
    """Return the medians of all rounds, and a line for each event that was cancelled."""
    lines = [
        "| what | a second | hot rows | with paid orders / without |",
        "|---|---:|---:|---:|",
    ]
    for name, field in RATES:
        rate = median(getattr(each, field) for each in empty)
        hot_rows = median(getattr(each, field) / each.hot_row for each in empty)
        ratio = median(
            getattr(filled, field) / getattr(first, field)
            for first, filled in zip(empty, full, strict=True)
        )
        lines.append(f"| {name} | {rate:,.0f} | {hot_rows:.1f} | {ratio:.2f} |")
    lines += [
        "",
        "| cancelling an event | done after | another event's rate meanwhile / before"
        " | p99 of its worst second |",
        "|---|---:|---:|---:|",
    ]
    lines += [
        f"| with {each.orders:,} paid orders | {each.seconds:.1f} s"
        f" | {each.rate_meanwhile / each.rate_before:.2f} | {each.worst_p99_ms:,.0f} ms |"
        for each in cancelled
    ]
    return "\n".join(lines)
