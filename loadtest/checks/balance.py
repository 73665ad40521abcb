"""Compares what the clients counted with what the system holds: all granted, nothing oversold."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter
from typing import Protocol

from loadtest.measure.counters import Counters

SETTLE_SECONDS = 2.0
"""A page may trail a commit by half a second."""
LOOK_AGAIN_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Held:
    """What the system says of one ticket type."""

    ticket_type_id: str
    total: int
    reserved: int
    """Held at this moment."""
    granted: int | None = None
    """Ever put into a cart, also one that has expired since; None where it is unknown."""
    in_carts: int | None = None
    """In the carts that are active; None where it is unknown."""


@dataclass(frozen=True, slots=True)
class Line:
    """One ticket type in both books."""

    ticket_type_id: str
    total: int
    granted: int
    """By the answers that buyers got."""
    held: int


@dataclass(frozen=True, slots=True)
class Verdict:
    source: str
    """Who told what is held."""
    lines: list[Line]
    findings: list[str]
    """What does not balance, a sentence each."""
    notes: list[str]
    """What could not be checked."""

    @property
    def balanced(self) -> bool:
        return not self.findings


class Auditor(Protocol):
    """Whoever can tell what the system has written."""

    source: str

    async def held(self) -> list[Held]:
        """Return what is held of each ticket type, in the order in which the run counts."""

    async def recorded(self) -> int | None:
        """Return how many outcomes are recorded for the run's commands; None: cannot tell."""


async def check_balance(counters: Counters, auditor: Auditor) -> Verdict:
    """Ask what is held, again for a moment while it does not match, and compare."""
    deadline = perf_counter() + SETTLE_SECONDS
    recorded = await auditor.recorded()
    while True:
        verdict = compare(counters, await auditor.held(), auditor.source, recorded)
        if verdict.balanced or perf_counter() >= deadline:
            return verdict
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


def compare(
    counters: Counters, held: Sequence[Held], source: str, recorded: int | None = None
) -> Verdict:
    """Compare the books; `held` stands in the order of the counters."""
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
    # Whoever sees the carts sees also those that have expired, whose tickets may be held again.
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
