"""What a fault may use, and how a fault is described."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from reliability.chaos.checks.database import Database
from reliability.chaos.checks.record import Record
from reliability.chaos.checks.recovery import WITHIN_SECONDS
from reliability.chaos.clients.queue_client import QueueClient
from reliability.chaos.system.system_under_test import SystemUnderTest


@dataclass
class FaultContext:
    system: SystemUnderTest
    database: Database
    queue_client: QueueClient
    record: Record
    rng: random.Random
    long_pause_seconds: float
    """A standstill that is longer than every time-out."""
    findings: list[str] = field(default_factory=list)


Inject = Callable[[FaultContext], Awaitable[bool]]
"""Breaks something and repairs it; returns whether the fault hit its target."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    group: str
    """What it breaks: recoveries are measured by it."""
    rows: tuple[int, ...]
    """The rows of the table of faults."""
    strike: Inject
    within_seconds: float = WITHIN_SECONDS
    """How soon after its end a new command has to succeed."""
    quiet: bool = False
    """It destroys accepted commands, so it is injected only while none is in flight."""
