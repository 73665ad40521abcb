"""A mutant: one bug, as a change of text in one file of the product."""

from dataclasses import dataclass
from pathlib import Path


class MisplacedError(Exception):
    """The text that a mutant changes is not there, or more than once: the code has moved."""


@dataclass(frozen=True)
class Mutant:
    """A bug that a programmer could have written."""

    name: str
    why: str
    """What it would do to people."""
    path: str
    old: str
    new: str
    tests: tuple[str, ...]
    """What should catch it, the fastest first."""

    def applied_to(self, source: str) -> str:
        """Return the source with the bug. Raises `MisplacedError`."""
        found = source.count(self.old)
        if found != 1:
            raise MisplacedError(f"{self.name}: its text stands {found} times in {self.path}")
        return source.replace(self.old, self.new)

    def apply(self, tree: Path) -> None:
        """Put the bug into a tree. Raises `MisplacedError`."""
        path = tree / self.path
        path.write_text(self.applied_to(path.read_text()))
