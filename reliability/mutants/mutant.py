"""A mutant: one bug, as a change of text in one file of the product."""

from dataclasses import dataclass
from pathlib import Path


class MisplacedError(Exception):
    """The text that a mutant replaces is missing or ambiguous: the code has changed."""


@dataclass(frozen=True)
class Mutant:
    """A bug that a programmer could have written."""

    name: str
    why: str
    """Its effect on users."""
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    """The tests that should catch it, the fastest first."""

    def applied_to(self, source: str) -> str:
        """Return the source with the bug. Raises `MisplacedError`."""
        found = source.count(self.old)
        if found != 1:
            raise MisplacedError(f"{self.name}: its text occurs {found} times in {self.path}")
        return source.replace(self.old, self.new)

    def apply(self, tree: Path) -> None:
        """Put the bug into a tree. Raises `MisplacedError`."""
        path = tree / self.path
        path.write_text(self.applied_to(path.read_text()))
