"""Seeds each bug into a copy of the tree and reports which test catches it."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed

from reliability.mutants.catalogue import MUTANTS
from reliability.mutants.hunt import (
    ALL_TIMEOUT_SECONDS,
    PASSED,
    Catch,
    failed_test,
    hunt,
    run_tests,
)
from reliability.mutants.mutant import MisplacedError, Mutant
from reliability.mutants.tree import ROOT, copy_of_the_tree

DEFAULT_JOBS = 2
MAX_ERROR_LINES = 20


def main() -> int:
    """Return 0 if every mutant was caught, 1 if one survived, 2 if that is unknown."""
    options = _read_arguments()
    mutants = [mutant for mutant in MUTANTS if options.only in (None, mutant.name)]
    if not mutants:
        _say(f"there is no mutant {options.only}")
        return 2
    if options.list:
        for mutant in mutants:
            _say(f"{mutant.name:<40} {mutant.path:<28} {mutant.why}")
        return 0
    if not _all_in_place(mutants) or not (options.unchecked or _tests_pass(mutants)):
        return 2
    return report(_hunt_all(mutants, options.jobs))


def report(catches: Sequence[Catch]) -> int:
    """Print the survivors, and return the exit code."""
    survivors = [catch.mutant for catch in catches if catch.by is None]
    broken = [catch.mutant for catch in catches if catch.is_broken]
    for mutant in survivors:
        _say(f"SURVIVED  {mutant.name} ({mutant.path}): {mutant.why}")
    caught = len(catches) - len(survivors) - len(broken)
    _say(f"{len(catches)} mutants: {caught} caught, {len(survivors)} survived")
    if broken:
        _say(f"without a result, because their tests cannot run: {[m.name for m in broken]}")
        return 2
    return 1 if survivors else 0


def _all_in_place(mutants: Sequence[Mutant]) -> bool:
    in_place = True
    for mutant in mutants:
        try:
            mutant.applied_to((ROOT / mutant.path).read_text())
        except (MisplacedError, OSError) as error:
            _say(str(error))
            in_place = False
    return in_place


def _tests_pass(mutants: Sequence[Mutant]) -> bool:
    """Whether the tests pass without a bug: otherwise a failure with one proves nothing."""
    tests = sorted({test for mutant in mutants for test in mutant.tests})
    _say(f"{len(tests)} groups of tests without a bug")
    with copy_of_the_tree() as tree:
        code, output = run_tests(tree, tests, ALL_TIMEOUT_SECONDS)
    if code != PASSED:
        errors = [line for line in output.splitlines() if line.startswith("E  ")]
        _say("\n".join(errors[:MAX_ERROR_LINES]))
        _say(f"the tests do not pass without a bug: {failed_test(output) or 'time-out'}")
    return code == PASSED


def _hunt_all(mutants: Sequence[Mutant], jobs: int) -> list[Catch]:
    catches: list[Catch] = []
    with ThreadPoolExecutor(jobs) as pool:
        hunts = [pool.submit(hunt, mutant) for mutant in mutants]
        try:
            for done in as_completed(hunts):
                catches.append(done.result())
                _say(f"{len(catches):>3} of {len(mutants)}  {_line(catches[-1])}")
        finally:
            pool.shutdown(cancel_futures=True)
    return catches


def _line(catch: Catch) -> str:
    if catch.is_broken:
        result = f"BROKEN     {catch.by}"
    else:
        result = f"caught by  {catch.by}" if catch.by else "SURVIVED"
    return f"{catch.mutant.name:<40} {catch.seconds:>5.0f} s  {result}"


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reliability.mutants", description=__doc__)
    parser.add_argument("--only", metavar="NAME", help="only this mutant")
    parser.add_argument("--jobs", type=int, default=DEFAULT_JOBS, help="mutants at a time")
    parser.add_argument("--list", action="store_true", help="list the mutants")
    parser.add_argument(
        "--unchecked", action="store_true", help="do not run the tests without a bug first"
    )
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
