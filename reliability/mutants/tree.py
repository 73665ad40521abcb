"""Copies the source tree, so that a bug is seeded into the copy."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent.parent
IGNORED = shutil.ignore_patterns(
    ".git", ".venv", ".holdfast", "build", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
)


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """Create a temporary copy of the tree, with uncommitted changes."""
    with TemporaryDirectory(prefix="holdfast-mutant-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=IGNORED)
        yield tree
