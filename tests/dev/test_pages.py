"""Every file, folder, module, test, fault and invariant that a page names exists."""

import re
from pathlib import Path

import pytest

from dev.processes.process import REPOSITORY
from reliability.chaos.checks import invariants
from reliability.chaos.faults.catalogue import FAULTS


def is_superseded(page: Path) -> bool:
    """A decision that no longer holds speaks of files that may be gone."""
    return page.parent.name == "decisions" and "superseded" in page.read_text()[:500].lower()


PAGES = sorted(
    page
    for page in [*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md")]
    if page.name == "README.md" or not is_superseded(page)
)
CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"(?:[\w.]+/)*\w+\.(?:py|md|svg|png|json|sql)")
TEST = re.compile(r"(?:(?P<file>\S+\.py)::)?(?:\w+::)?(?P<name>(?:test_|Test)\w+)")
PATH = re.compile(r"(?<![\w./*-])(?:[\w-]+/)+[\w-]+\.(?:py|md|svg|png|json|yml)(?!\w)")
FOLDER = re.compile(r"(?:[\w.-]+/)+")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]+)")
TOPS = "gateway|worker|shared|loadtest|migrations|deploy|dev|reliability"
MODULE = re.compile(rf"python -m ((?:{TOPS})[\w.]*)")
DOTTED = re.compile(rf"(?:{TOPS})(?:\.\w+)+")
STEP = re.compile(r"^\|[^|]+\| `(?P<file>\S+\.py)` \|[^|]+\| (?P<names>`.+`) \|$", re.MULTILINE)
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
RELIABILITY = (REPOSITORY / "docs/reliability.md").read_text()
ARCHITECTURE = (REPOSITORY / "docs/architecture.md").read_text()

OURS = [
    path
    for top in REPOSITORY.iterdir()
    for path in (top.rglob("*") if top.is_dir() and not top.name.startswith(".") else [top])
]


def files(name: str) -> list[Path]:
    """Return the files whose path ends with `name`: a page may leave out the leading folders."""
    return [path for path in OURS if path.as_posix().endswith(f"/{name}")]


@each_page
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    text = page.read_text()
    in_code = {name for name in CODE.findall(text) if FILE.fullmatch(name)}
    for name in in_code | set(PATH.findall(text)):
        assert files(name), f"{page.name}: {name}"


@each_page
def test_every_folder_that_a_page_names_exists(page: Path) -> None:
    for name in filter(FOLDER.fullmatch, CODE.findall(page.read_text())):
        assert (REPOSITORY / name).is_dir(), f"{page.name}: {name}"


@each_page
def test_every_link_within_the_repository_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


@each_page
def test_every_module_that_a_page_runs_exists(page: Path) -> None:
    for module in MODULE.findall(page.read_text()):
        path = REPOSITORY / module.replace(".", "/")
        runnable = (path.with_suffix(".py"), path / "__main__.py")
        assert any(each.exists() for each in runnable), f"{page.name}: {module}"


def test_the_architecture_page_lists_every_package_of_the_tree() -> None:
    tops = [top for top in REPOSITORY.iterdir() if (top / "__init__.py").exists()]
    within = ("gateway", "worker", "reliability")
    rooms = [room for top in tops if top.name in within for room in top.iterdir()]
    for package in [*tops, *(room for room in rooms if (room / "__init__.py").exists())]:
        assert f"`{package.relative_to(REPOSITORY)}/`" in ARCHITECTURE


@each_page
def test_every_dotted_module_that_a_page_names_exists(page: Path) -> None:
    names = set(filter(DOTTED.fullmatch, CODE.findall(page.read_text())))
    for name in names:
        if not FILE.fullmatch(name):
            path = REPOSITORY / name.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").exists(), f"{page.name}: {name}"


def test_each_step_of_a_command_names_what_its_file_defines() -> None:
    steps = list(STEP.finditer(ARCHITECTURE))
    for step in steps:
        source = (REPOSITORY / step["file"]).read_text()
        for name in CODE.findall(step["names"]):
            defined = re.search(rf"^(?:async def|def|class) {name}\b", source, re.MULTILINE)
            assert defined, f"{step['file']}: {name}"

    assert len(steps) >= 10


@each_page
def test_every_test_that_a_page_names_exists(page: Path) -> None:
    file = ""
    for token in CODE.findall(page.read_text()):
        if (named := TEST.fullmatch(token)) is None:
            continue
        file = named["file"] or file  # a test without a file is in the file named last
        sources = [found.read_text() for found in files(file)]
        definition = re.compile(rf"(?:def|class) {named['name']}\b")
        assert any(map(definition.search, sources)), f"{page.name}: {token}"


def test_the_reliability_page_lists_exactly_the_faults_of_the_catalogue() -> None:
    section = RELIABILITY.partition("## The faults")[2].partition("\n## ")[0]
    told = RELIABILITY.partition("## What was not tested")[2]

    named = {token for token in CODE.findall(section) if re.fullmatch(r"[a-z]+(-[a-z]+)+", token)}

    assert named <= set(FAULTS)
    assert {fault for fault in FAULTS if f"`{fault}`" not in section + told} == set()


def test_the_reliability_page_lists_exactly_the_invariants() -> None:
    named = {token for token in CODE.findall(RELIABILITY) if re.fullmatch(r"i\d+_\w+", token)}

    assert named == {name for name in vars(invariants) if re.match(r"i\d+_", name)}


def test_the_index_of_decisions_lists_each_by_its_title() -> None:
    folder = REPOSITORY / "docs/decisions"
    index = (folder / "README.md").read_text()

    for page in folder.glob("0*.md"):
        title = page.read_text().partition("\n")[0].removeprefix("# ")
        assert f"[{title}]({page.name})" in index
