"""A copy of the source tree, in which a bug does no harm."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parent.parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv", ".holdfast", "build", "__pycache__", ".*_cache", ".hypothesis", "*.egg-info"
)


@contextmanager
def copy_of_the_tree() -> Iterator[Path]:
    """Lend a copy of the whole tree, as it stands."""
    with TemporaryDirectory(prefix="holdfast-mutant-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=LEFT_OUT)
        yield tree
