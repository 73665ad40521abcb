"""The pages name only what there is: files, tests, faults and invariants."""

import re
from pathlib import Path

import pytest

from dev.processes import REPOSITORY
from reliability.chaos import invariants
from reliability.chaos.faults.catalogue import FAULTS

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")])
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?:[\w.]+/)*\w+\.(?:py|md|svg|png|json|sql)")
TEST = re.compile(r"(?:(?P<file>\S+\.py)::)?(?P<name>test_\w+)")
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
RELIABILITY = (REPOSITORY / "docs/reliability.md").read_text()


OURS = [
    path
    for top in REPOSITORY.iterdir()
    for path in (top.rglob("*") if top.is_dir() and not top.name.startswith(".") else [top])
]


def files(name: str) -> list[Path]:
    """Which of ours a page may mean by this: the end of a path, whichever folder it begins in."""
    return [path for path in OURS if path.as_posix().endswith(f"/{name}")]


@each_page
def test_the_files_that_a_page_names_are_there(page: Path) -> None:
    for name in CODE.findall(page.read_text()):
        if FILE.fullmatch(name) and name != "reliability.chaos.json":
            assert files(name), f"{page.name}: {name}"


@each_page
def test_the_tests_that_a_page_names_are_there(page: Path) -> None:
    file = ""
    for token in CODE.findall(page.read_text()):
        if (named := TEST.fullmatch(token)) is None:
            continue
        file = named["file"] or file  # a test without its file is of the one named last
        sources = [found.read_text() for found in files(file)]
        assert any(f"def {named['name']}(" in source for source in sources), token


def test_the_faults_on_the_page_are_those_that_there_are() -> None:
    section = RELIABILITY.partition("## The faults")[2].partition("\n## ")[0]
    told = RELIABILITY.partition("## What was not tested")[2]

    named = {token for token in CODE.findall(section) if re.fullmatch(r"[a-z]+(-[a-z]+)+", token)}

    assert named <= set(FAULTS)
    assert {fault for fault in FAULTS if f"`{fault}`" not in section + told} == set()


def test_the_checks_on_the_page_are_those_that_there_are() -> None:
    named = {token for token in CODE.findall(RELIABILITY) if re.fullmatch(r"i\d+_\w+", token)}

    assert named == {name for name in vars(invariants) if re.match(r"i\d+_", name)}
