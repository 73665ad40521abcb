"""Compares the tickets that clients were granted with those that the system holds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

from loadtest.measure.counters import Counters
from loadtest.measure.sales import Sales

SETTLE_SECONDS = 2.0
"""A page may be up to half a second older than a commit."""
POLL_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Held:
    """The quantities of one ticket type in the system."""

    ticket_type_id: str
    total: int
    reserved: int
    """Held now."""
    granted: int | None = None
    """Ever put into a cart, including carts that have expired; None if unknown."""
    in_carts: int | None = None
    """In active carts; None if unknown."""
    in_orders: int = 0
    """In pending orders."""
    sold: int = 0
    in_paid_orders: int | None = None
    """None if unknown."""


@dataclass(frozen=True, slots=True)
class Line:
    """One ticket type, as counted by the clients and as held by the system."""

    ticket_type_id: str
    total: int
    granted: int
    """According to the outcomes that buyers got."""
    held: int
    """Reserved and sold."""


@dataclass(frozen=True, slots=True)
class Verdict:
    source: str
    """Where the held quantities were read."""
    lines: list[Line]
    findings: list[str]
    """The mismatches, a sentence each."""
    notes: list[str]
    """What could not be checked."""

    @property
    def balanced(self) -> bool:
        return not self.findings


class Auditor(Protocol):
    """Reads what the system has recorded."""

    source: str

    async def held(self) -> list[Held]:
        """Return the quantities of each ticket type, in the order of the counters."""

    async def sales(self) -> Sales | None:
        """Return the recorded orders and money of the run; None if unknown."""

    async def recorded(self) -> int | None:
        """Return the number of outcomes recorded for the run's commands; None if unknown."""


async def check_balance(counters: Counters, auditor: Auditor) -> Verdict:
    """Compare the books, repeatedly for up to `SETTLE_SECONDS` until they match."""
    deadline = perf_counter() + SETTLE_SECONDS
    recorded, sales = await auditor.recorded(), await auditor.sales()
    while True:
        verdict = compare(counters, await auditor.held(), auditor.source, recorded, sales)
        if verdict.balanced or perf_counter() >= deadline:
            return verdict
        await asyncio.sleep(POLL_SECONDS)


def compare(
    counters: Counters,
    held: Sequence[Held],
    source: str,
    recorded: int | None = None,
    sales: Sales | None = None,
) -> Verdict:
    """Compare the books; `held` is in the order of the counters."""
    findings = [f"{count:,} times {what}." for what, count in counters.faults.items()]
    findings += [f"For example {example}" for example in counters.examples]
    if counters.unanswered:
        findings.append(f"{counters.unanswered:,} commands were never answered.")
    if len(held) != len(counters.granted):
        findings.append(f"{len(held)} ticket types exist, {len(counters.granted)} were sold from.")
    if recorded is not None and recorded != counters.distinct:
        findings.append(
            f"{recorded:,} outcomes are recorded, {counters.distinct:,} commands were answered."
        )
    lines = []
    expired = _holds_have_expired(counters)
    for granted, each in zip(counters.granted, held, strict=False):
        lines.append(Line(each.ticket_type_id, each.total, granted, each.reserved + each.sold))
        findings += _findings(granted, each, expired=expired)
        findings += _sold_findings(counters.sales.sold[each.ticket_type_id], each)
    if sales is not None:
        findings += counters.sales.differences(sales)
    notes = []
    if expired and any(each.granted is None for each in held):
        notes.append(
            "Holds have expired since the start: without the database only overselling and"
            " holds too many could be checked."
        )
    if counters.sales.orders and sales is None:
        notes.append("Without the database the recorded money could not be checked.")
    return Verdict(source, lines, findings, notes)


def _findings(granted: int, held: Held, *, expired: bool) -> list[str]:
    name = f"Ticket type {held.ticket_type_id}"
    findings = []
    # The database also has expired carts, whose tickets may be held again.
    committed = held.reserved + held.sold
    if committed > held.total or (granted > held.total and not expired):
        findings.append(
            f"{name} is oversold: {max(committed, granted):,} of {held.total:,} tickets."
        )
    if held.in_carts is not None and held.in_carts + held.in_orders != held.reserved:
        findings.append(
            f"{name}: {held.reserved:,} held, but {held.in_carts:,} in carts"
            f" and {held.in_orders:,} in pending orders."
        )
    if held.granted is not None and held.granted != granted:
        findings.append(f"{name}: {granted:,} granted, but {held.granted:,} put into carts.")
    if held.granted is None and (committed > granted or (committed < granted and not expired)):
        findings.append(f"{name}: {granted:,} granted, but {committed:,} held.")
    return findings


def _sold_findings(bought: int, held: Held) -> list[str]:
    name = f"Ticket type {held.ticket_type_id}"
    findings = []
    if bought != held.sold:
        findings.append(f"{name}: {bought:,} bought by the responses, but {held.sold:,} sold.")
    if held.in_paid_orders is not None and held.in_paid_orders != held.sold:
        findings.append(f"{name}: {held.sold:,} sold, but {held.in_paid_orders:,} in paid orders.")
    return findings


def _holds_have_expired(counters: Counters) -> bool:
    first = counters.first_expiry
    return first is not None and datetime.fromisoformat(first) <= datetime.now(UTC)
