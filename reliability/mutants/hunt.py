"""Runs the tests against a mutant until one of them fails."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from reliability.mutants.mutant import Mutant
from reliability.mutants.tree import copy_of_the_tree

TIMEOUT_SECONDS = 300
"""A mutant whose tests take longer counts as caught."""
ALL_TIMEOUT_SECONDS = 1_200
"""For all groups of tests together, without a bug."""
CAUGHT, PASSED = 1, 0
"""Exit codes of pytest."""


@dataclass(frozen=True)
class Catch:
    """The result for a mutant."""

    mutant: Mutant
    by: str | None
    """The test that failed; None if the mutant survived."""
    seconds: float
    is_broken: bool = False
    """The tests could not run, which proves nothing."""


def hunt(mutant: Mutant) -> Catch:
    """Put a mutant into a copy of the tree, and run its tests there one after the other."""
    started = time.monotonic()
    with copy_of_the_tree() as tree:
        mutant.apply(tree)
        for test in mutant.tests:
            code, output = run_tests(tree, [test])
            seconds = time.monotonic() - started
            if code == CAUGHT:
                return Catch(mutant, failed_test(output) or test, seconds)
            if code is None:
                return Catch(mutant, f"{test} (time-out)", seconds)
            if code != PASSED:
                return Catch(mutant, output[-500:], seconds, is_broken=True)
    return Catch(mutant, None, time.monotonic() - started)


def run_tests(
    tree: Path, tests: list[str], timeout_seconds: float = TIMEOUT_SECONDS
) -> tuple[int | None, str]:
    """Return the exit code of pytest, None after a time-out, and its output."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
        cwd=tree,
        # `PYTHONPATH` could name the tree without the bug.
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        _end(process)
        return None, ""
    except BaseException:
        _end(process)
        raise
    return process.returncode, output


def failed_test(output: str) -> str | None:
    """Return the test that pytest reports as failed."""
    found = re.search(r"^(?:FAILED|ERROR) (tests/\S+::.*?)(?: - .*)?$", output, re.MULTILINE)
    return found[1] if found else None


def _end(process: "subprocess.Popen[str]") -> None:
    """End pytest; first with SIGINT, so that it stops its processes and drops its databases."""
    os.killpg(process.pid, signal.SIGINT)
    try:
        process.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
