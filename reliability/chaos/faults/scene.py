"""What a fault has at hand, and how it is described."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from reliability.chaos.books import Books
from reliability.chaos.courier import Courier
from reliability.chaos.record import Record
from reliability.chaos.recovery import WITHIN_SECONDS
from reliability.chaos.site import Site


@dataclass
class Scene:
    site: Site
    books: Books
    courier: Courier
    record: Record
    chance: random.Random
    long_pause_seconds: float
    """How long something stands still that is to outlast every time-out."""
    findings: list[str] = field(default_factory=list)


Strike = Callable[[Scene], Awaitable[bool]]
"""Breaks something and mends it again; tells whether it hit what it was to hit."""


@dataclass(frozen=True, slots=True)
class Fault:
    name: str
    group: str
    """What it breaks: recoveries are measured by it."""
    rows: tuple[int, ...]
    """The rows of the table of faults."""
    strike: Strike
    within_seconds: float = WITHIN_SECONDS
    """How soon after its end a new command has to succeed."""
    quiet: bool = False
    """It destroys what was accepted: it comes when nothing is on its way."""
