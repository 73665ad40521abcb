"""`dev/environment`, which makes the virtual environment."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "dev" / "environment"


def test_an_environment_behind_a_link_is_not_cleared(tmp_path: Path):
    shared, link, lock = tmp_path / "shared", tmp_path / "link", tmp_path / "lock"
    shared.mkdir()
    (shared / "kept").touch()
    link.symlink_to(shared)
    lock.write_text("a lock that the environment was not made from")
    made = subprocess.run(
        [SCRIPT, sys.executable, link, lock, link / "made-from.lock"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 1
    assert "is a link" in made.stderr
    assert (shared / "kept").exists()
