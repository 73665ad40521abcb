"""Compares the tickets that clients were granted with those that the system holds."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

from loadtest.measure.counters import Counters

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


@dataclass(frozen=True, slots=True)
class Line:
    """One ticket type, as counted by the clients and as held by the system."""

    ticket_type_id: str
    total: int
    granted: int
    """According to the outcomes that buyers got."""
    held: int


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

    async def recorded(self) -> int | None:
        """Return the number of outcomes recorded for the run's commands; None if unknown."""


async def check_balance(counters: Counters, auditor: Auditor) -> Verdict:
    """Compare the books, repeatedly for up to `SETTLE_SECONDS` until they match."""
    deadline = perf_counter() + SETTLE_SECONDS
    recorded = await auditor.recorded()
    while True:
        verdict = compare(counters, await auditor.held(), auditor.source, recorded)
        if verdict.balanced or perf_counter() >= deadline:
            return verdict
        await asyncio.sleep(POLL_SECONDS)


def compare(
    counters: Counters, held: Sequence[Held], source: str, recorded: int | None = None
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
        lines.append(Line(each.ticket_type_id, each.total, granted, each.reserved))
        findings += _findings(granted, each, expired=expired)
    notes = []
    if expired and any(each.granted is None for each in held):
        notes.append(
            "Holds have expired since the start: without the database only overselling and"
            " holds too many could be checked."
        )
    return Verdict(source, lines, findings, notes)


def _findings(granted: int, held: Held, *, expired: bool) -> list[str]:
    name = f"Ticket type {held.ticket_type_id}"
    findings = []
    # The database also has expired carts, whose tickets may be held again.
    if held.reserved > held.total or (granted > held.total and not expired):
        findings.append(
            f"{name} is oversold: {max(held.reserved, granted):,} of {held.total:,} tickets."
        )
    if held.in_carts is not None and held.in_carts != held.reserved:
        findings.append(f"{name}: {held.reserved:,} held, but {held.in_carts:,} in carts.")
    if held.granted is not None and held.granted != granted:
        findings.append(f"{name}: {granted:,} granted, but {held.granted:,} put into carts.")
    if held.granted is None and (
        held.reserved > granted or (held.reserved < granted and not expired)
    ):
        findings.append(f"{name}: {granted:,} granted, but {held.reserved:,} held.")
    return findings


def _holds_have_expired(counters: Counters) -> bool:
    first = counters.first_expiry
    return first is not None and datetime.fromisoformat(first) <= datetime.now(UTC)
