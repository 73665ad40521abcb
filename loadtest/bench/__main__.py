"""`python -m loadtest.bench`: every case beside the others in turn, medians and ratios."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from dev.search import Unavailable
from dev.services import services
from loadtest.amqp import BrokerError
from loadtest.bench.cases import ALL, HOT_ROW, SHORT, Case
from loadtest.bench.deployment import Deployment
from loadtest.bench.measure import Measured, measure
from loadtest.bench.picture import picture
from loadtest.bench.summary import Round, markdown, summarise, write_json
from loadtest.desk import PreparationError
from loadtest.figures import count, milliseconds
from loadtest.progress import say
from loadtest.result import machine

DOCS = Path(__file__).resolve().parent.parent.parent / "docs"


def main() -> int:
    """Return 0 if all books balanced, 1 if some did not, 2 if it could not be measured."""
    found = _read_arguments()
    cases = _picked(SHORT if found.report else ALL, found.only)
    try:
        with services("tests") as places, Deployment(places) as deployment:
            rounds = [
                _one_round(number, found.rounds, cases, deployment, found.seconds)
                for number in range(1, found.rounds + 1)
            ]
    except (PreparationError, BrokerError, Unavailable) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("stopped; nothing is written")
        return 2
    lines = summarise(rounds)
    if found.docs is not None:
        found.docs.mkdir(parents=True, exist_ok=True)
        write_json(found.docs / "bench.json", lines, rounds, found.seconds)
        (found.docs / "bench.svg").write_text(picture(lines, _subtitle(found)))
        say(f"\nwritten: {found.docs / 'bench.json'}, {found.docs / 'bench.svg'}")
    say(f"\n{markdown(lines)}")
    findings = [finding for each in rounds for run in each.values() for finding in run.findings]
    say(f"\n{_verdict(findings)}")
    return 1 if findings else 0


def _one_round(
    number: int, of: int, cases: Sequence[Case], deployment: Deployment, seconds: float
) -> Round:
    """Measure every case once; the hot row first and last, for the machine's pace may change."""
    measured: dict[Case, Measured] = {}
    for case in cases:
        measured[case] = _measure(f"round {number} of {of}", case, deployment, seconds)
    again = _measure(f"round {number} of {of}", HOT_ROW, deployment, seconds)
    first = measured[HOT_ROW]
    mean_rate = (first.rate + again.rate) / 2
    measured[HOT_ROW] = Measured(mean_rate, measured_with=first.measured_with)
    return measured


def _measure(where: str, case: Case, deployment: Deployment, seconds: float) -> Measured:
    result = measure(case, deployment, seconds)
    told = ""
    if result.p50_ms is not None:
        told = f"p50 {milliseconds(result.p50_ms)}, p99 {milliseconds(result.p99_ms)}"
    elif case.way == "hot row":
        told = f"with {result.measured_with}"
    say(f"{where}   {case.name:<38} {count(result.rate):>8}/s   {told}")
    for finding in result.findings:
        say(f"    {finding}")
    return result


def _picked(cases: Sequence[Case], only: str | None) -> list[Case]:
    """Return the cases of the groups asked for, and the hot row, their measure."""
    return [case for case in cases if only is None or case is HOT_ROW or case.group in only]


def _subtitle(found: argparse.Namespace) -> str:
    on = machine()
    return (
        f"{on['processor']}, {on['cores']} cores, load generator included; median of"
        f" {found.rounds} round{'s' if found.rounds > 1 else ''} of {found.seconds:g} s each"
    )


def _verdict(findings: Sequence[str]) -> str:
    return "\n".join(["THE BOOKS DO NOT BALANCE:", *findings]) if findings else "All books balance."


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="for each measurement")
    parser.add_argument("--quick", action="store_true", help="one round of 3 seconds each")
    parser.add_argument("--report", action="store_true", help="the README's figures: two minutes")
    parser.add_argument("--only", metavar="LETTERS", help="groups of the table, such as cdg")
    parser.add_argument(
        "--docs", type=Path, metavar="FOLDER", help="where bench.json and bench.svg go"
    )
    found = parser.parse_args()
    if found.quick:
        found.rounds, found.seconds = 1, 3.0
    if found.rounds < 1 or found.seconds < 1:
        parser.error("--rounds and --seconds are at least 1")
    if found.docs is None and not (found.report or found.quick or found.only):
        found.docs = DOCS
    return found


if __name__ == "__main__":
    sys.exit(main())
