"""The mutants: each fits the code as it stands, and names tests that exist."""

import ast

import pytest

from reliability.mutants.catalogue import MUTANTS
from reliability.mutants.mutant import MisplacedError, Mutant
from reliability.mutants.tree import ROOT

each = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@each
def test_its_text_stands_once_in_its_file_and_what_takes_its_place_is_python(
    mutant: Mutant,
) -> None:
    source = (ROOT / mutant.path).read_text()

    mutated = mutant.applied_to(source)

    assert ast.dump(ast.parse(mutated)) != ast.dump(ast.parse(source))


@each
def test_the_tests_that_should_catch_it_are_there(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        path, _, function = test.partition("::")
        assert (ROOT / path).exists()
        if function:
            assert f"def {function}(" in (ROOT / path).read_text()


def test_no_two_have_the_same_name_and_there_are_twenty_at_least() -> None:
    names = {mutant.name for mutant in MUTANTS}

    assert len(names) == len(MUTANTS) >= 20


@pytest.mark.parametrize("source", ["nothing of it", "twice twice"])
def test_code_that_has_moved_is_noticed(source: str) -> None:
    mutant = Mutant("moved", "", "x.py", "twice", "once", ())

    with pytest.raises(MisplacedError, match="moved"):
        mutant.applied_to(source)
