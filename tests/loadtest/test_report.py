"""The report says what a run has shown, in one page that needs nothing else."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from loadtest.checks.balance import Line, Verdict
from loadtest.measure.timeline import Second
from loadtest.report.charts import MAX_POINTS, Series, chart, nice_ticks, thin
from loadtest.report.page import html, write_report
from loadtest.report.result import Result, python_build

BALANCED = Verdict("the database", [Line("a type", 500, 120, 120)], [], [])
RESULT = Result(
    title="through the queue",
    settings={"buyers": 2_000, "rate_per_second": None, "reads": False},
    finished_at="2026-11-22T10:00:00+00:00",
    rate=1_234.0,
    latency_ms={"p50": 12.3, "p90": 20.0, "p99": 1_500.0, "p99_9": 1_600.0, "max": 2, "mean": 3},
    accepted_ms=None,
    asked=150,
    answered=150,
    succeeded=120,
    refusals={"insufficient_availability": 27},
    repeats=3,
    tries_again=0,
    not_accepted=0,
    not_sent=0,
    own_cpu_us_per_command=4.5,
    books=BALANCED,
    timeline=[
        Second(1, 1_000.0, 0, 10.0, 12.0, 15.0, 200),
        Second(2, 0.0, 0, None, None, None, 200),
        Second(3, 1_468.0, 27, 11.0, 12.0, 1_500.0, 0),
    ],
    machine={"cores": "2"},
)


def test_the_page_needs_nothing_else() -> None:
    page = html(RESULT)
    assert not re.search(r"(src|href)=|<script|@import|url\(", page)
    assert "prefers-color-scheme: dark" in page


def test_the_page_says_what_was_measured() -> None:
    page = html(RESULT)
    for text in ("1,234", "12.3", "1.5", "The books balance", "insufficient availability", "500"):
        assert text in page
    assert page.count("<svg") == 3
    assert "as fast as it goes" in page


def test_the_page_says_what_does_not_balance() -> None:
    bad = replace(BALANCED, findings=["Ticket type <1> is oversold."])
    page = html(replace(RESULT, books=bad))
    assert "do not balance" in page
    assert "Ticket type &lt;1&gt; is oversold." in page
    assert not replace(RESULT, books=bad).passed


@pytest.mark.parametrize("result", [RESULT, replace(RESULT, timeline=[], latency_ms=None)])
def test_the_page_is_well_formed(result: Result) -> None:
    class Parser(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []

        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "line", "rect", "polyline", "polygon"):
                self.open.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if tag not in ("line", "rect", "polyline", "polygon"):
                assert self.open.pop() == tag

    parser = Parser()
    parser.feed(html(result))
    assert parser.open == []


def test_the_json_holds_the_same(tmp_path: Path) -> None:
    page = write_report(RESULT, tmp_path / "a folder")
    assert page.name == "report.html"
    written = json.loads((tmp_path / "a folder" / "result.json").read_text())
    assert written["passed"] is True
    assert written["rate"] == RESULT.rate
    assert written["timeline"][2]["p99_ms"] == 1_500.0
    assert written["books"]["lines"][0]["held"] == 120


def test_an_address_with_its_password_is_nowhere() -> None:
    from loadtest.options import HttpOptions
    from loadtest.workload import Workload

    options = HttpOptions(
        Workload(), ("http://a-host",), "amqp://u:secret@h", "postgresql://secret@h", "a secret"
    )
    assert "secret" not in str(options.settings())


@pytest.mark.parametrize(
    ("library", "build"),
    [
        ("/usr/lib/python3.11", "the distribution's build"),
        ("/home/ada/.pyenv/versions/3.11.7/lib/python3.11", "a version manager's build"),
        ("/usr/local/lib/python3.11", "a local build"),
        ("/opt/python/lib/python3.11", "another build"),
    ],
)
def test_the_build_of_python_is_told_without_a_path(
    library: str, build: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHON_SHA256", raising=False)
    assert python_build(library) == build
    monkeypatch.setenv("PYTHON_SHA256", "as the image sets it")
    in_image = library.startswith("/usr/local")
    assert python_build(library) == ("the container image's build" if in_image else build)


def test_a_long_run_is_drawn_with_a_bounded_number_of_points() -> None:
    day = [float(second % 100) for second in range(86_400)]
    drawn = chart([Series("day", "strong", day)], str)
    assert drawn.count("<rect") <= MAX_POINTS
    assert max(value or 0 for value in thin(day, 216)) == 99.0


@pytest.mark.parametrize("peak", [0, 0.004, 1, 7, 99, 100, 101, 12_345])
def test_the_ticks_are_few_and_reach_the_peak(peak: float) -> None:
    ticks = nice_ticks(peak)
    assert 2 <= len(ticks) <= 6
    assert ticks[-1] >= peak
