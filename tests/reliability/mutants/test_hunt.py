"""The hunt itself: it tells a mutant that is caught from one that lives, and from a broken one."""

import dataclasses

import pytest

from reliability.mutants.__main__ import report
from reliability.mutants.catalogue import MUTANTS
from reliability.mutants.hunt import Catch, hunt
from reliability.mutants.mutant import Mutant
from reliability.mutants.tree import ROOT

BOUNDARY = "tests/worker/domain/test_reserve_tickets.py"
OVERSELLS = next(mutant for mutant in MUTANTS if mutant.name == "availability_off_by_one")
CAUGHT = dataclasses.replace(OVERSELLS, tests=("tests/worker/domain/test_users.py", BOUNDARY))


def test_a_mutant_is_caught_by_the_test_that_fails_and_the_tree_stays_unchanged() -> None:
    before = (ROOT / CAUGHT.path).read_text()

    catch = hunt(CAUGHT)

    assert catch.by is not None
    assert catch.by.startswith(f"{BOUNDARY}::")
    assert not catch.is_broken
    assert (ROOT / CAUGHT.path).read_text() == before


def test_a_mutant_that_no_test_notices_survives() -> None:
    harmless = dataclasses.replace(CAUGHT, new=CAUGHT.old + "        # the same\n")

    assert hunt(harmless).by is None


def test_tests_that_cannot_run_prove_nothing() -> None:
    lost: Mutant = dataclasses.replace(
        CAUGHT, tests=("tests/worker/domain/test_that_is_not_there.py",)
    )

    assert hunt(lost).is_broken


@pytest.mark.parametrize(
    ("catches", "code"),
    [
        ([Catch(CAUGHT, "a test", 1)], 0),
        ([Catch(CAUGHT, "a test", 1), Catch(CAUGHT, None, 1)], 1),
        ([Catch(CAUGHT, "no such file", 1, is_broken=True)], 2),
    ],
)
def test_the_exit_code_says_whether_one_lives(catches: list[Catch], code: int) -> None:
    assert report(catches) == code
