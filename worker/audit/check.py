"""A rule of the books, with a statement that finds its violations."""

from dataclasses import dataclass

OVERDUE_SECONDS = 5
"""The sweep runs every second; a hold this overdue means that it fails."""


@dataclass(frozen=True, slots=True)
class Check:
    name: str
    rule: str
    statement: str
    """Returns a row for each violation: its subject and a detail."""
    is_warning: bool = False
    """Whether the books balance all the same: somebody has to act, and may not have yet."""
