"""How figures and settings are put into words."""

from loadtest.options import Setting
from loadtest.report.figures import count, milliseconds
from loadtest.report.result import Result

_NAMES = {
    "rate_per_second": "Commands a second",
    "seconds": "Seconds",
    "warm_up_seconds": "Warm-up, seconds",
    "repeats": "Share sent again",
    "skew": "Skew (Zipf)",
    "tickets": "Tickets of each type",
    "lines": "Lines in a cart",
    "poll_seconds": "Polled every, seconds",
    "reads": "Reads only",
    "check_out": "Share checked out",
    "pay": "Share of orders paid",
}


def sentence(result: Result) -> str:
    """Tell in a sentence what became of all commands."""
    if result.settings.get("reads"):
        return f"The event's page was asked for {result.asked:,} times."
    refused = sum(result.refusals.values())
    repeats = ""
    if result.repeats:
        repeats = f"; {result.repeats:,} were repeats, answered as the first time"
    return (
        f"Of {result.asked:,} commands {result.succeeded:,} were granted"
        f" and {f'{refused:,}' if refused else 'none'} refused{repeats}."
    )


def summary(result: Result) -> list[str]:
    """Tell how the run went, in a few lines."""
    latency = result.latency_ms or {}
    percentiles = ", ".join(
        f"{name.replace('_', '.')} {milliseconds(value)}" for name, value in latency.items()
    )
    lines = [
        "",
        f"{count(result.rate)}/s   {percentiles}",
        f"{sentence(result)} The load itself took {result.own_cpu_us_per_command:g} µs"
        " of CPU a command.",
    ]
    if result.accepted_ms:
        accepted = result.accepted_ms
        lines.append(
            f"Accepted (202): p50 {milliseconds(accepted['p50'])},"
            f" p99 {milliseconds(accepted['p99'])}."
        )
    if result.not_accepted or result.tries_again:
        lines.append(
            f"{result.tries_again:,} retries because the outcome was unknown;"
            f" {result.not_accepted:,} commands were not accepted by the broker."
        )
    if result.not_sent:
        lines.append(
            f"{result.not_sent:,} commands were due and never sent: too slow for this rate."
        )
    sales = result.sales
    if sales.orders:
        lines.append(
            f"{sales.orders:,} orders of {sales.ordered_amount:,} minor units;"
            f" {sales.payments:,} payments of {sales.paid_amount:,} paid {sales.paid_orders:,}."
        )
    if result.books is None:
        return lines
    if result.books.balanced:
        lines.append(f"The books balance, checked with {result.books.source}.")
    else:
        lines.append("THE BOOKS DO NOT BALANCE:")
        lines += [f"  {finding}" for finding in result.books.findings]
    return lines + result.books.notes


def setting(name: str, value: Setting) -> tuple[str, str]:
    """Put a setting into words."""
    label = _NAMES.get(name) or name.replace("_", " ").capitalize()
    if value is None:
        return label, "as fast as it goes" if name == "rate_per_second" else "none"
    if isinstance(value, bool):
        return label, "yes" if value else "no"
    if isinstance(value, str):
        return label, value
    return label, f"{value:,.12g}"
