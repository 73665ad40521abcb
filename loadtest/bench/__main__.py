"""`python -m loadtest.bench`: measures all cases in turn, or growth, memory, cliffs or orders."""

import argparse
import signal
import sys
from collections.abc import Sequence

from dev.servers.discovery import Unavailable
from dev.services import services
from loadtest.bench.arguments import read_arguments
from loadtest.bench.cases.catalogue import ALL, GROWTH, HOT_ROW, SHORT, Case
from loadtest.bench.cases.picture import picture
from loadtest.bench.cases.rounds import Round, one_round
from loadtest.bench.cases.summary import markdown, summarise, write_json
from loadtest.bench.cliffs.measure import (
    DueHolds,
    Opening,
    measure_due_holds,
    measure_idle_expiry,
    measure_opening,
)
from loadtest.bench.cliffs.situations import STATES
from loadtest.bench.cliffs.summary import markdown as markdown_of_cliffs
from loadtest.bench.growth.fill import Amounts
from loadtest.bench.growth.measure import measure_growth
from loadtest.bench.growth.summary import write_growth
from loadtest.bench.memory.measure import measure_memory
from loadtest.bench.memory.summary import write_memory
from loadtest.bench.orders.measure import (
    Cancelling,
    OrderRates,
    measure_cancelling,
    measure_full_rates,
    measure_rates,
)
from loadtest.bench.orders.summary import markdown as markdown_of_orders
from loadtest.bench.system.deployment import Deployment
from loadtest.progress import say
from loadtest.queue.amqp import BrokerError
from loadtest.queue.client import PreparationError
from loadtest.report.result import machine


def main() -> int:
    """Return 0 if all books balanced, 1 if some did not, 2 if it could not be measured."""
    found = read_arguments()
    # On SIGTERM, clean up as on Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if found.growth:
            findings = _growth(found)
        elif found.memory:
            findings = _memory(found)
        elif found.cliffs:
            findings = _cliffs(found)
        elif found.orders:
            findings = _orders(found)
        else:
            findings = _cases(found)
    except (PreparationError, BrokerError, Unavailable) as error:
        say(str(error))
        return 2
    except KeyboardInterrupt:
        say("stopped; nothing is written")
        return 2
    say(f"\n{_verdict(findings)}")
    return 1 if findings else 0


def _cases(found: argparse.Namespace) -> list[str]:
    cases = _picked(SHORT if found.report else ALL, found.only)
    with services("tests") as places, Deployment(places) as deployment:
        rounds = [
            one_round(f"round {number} of {found.rounds}", cases, deployment, found.seconds)
            for number in range(1, found.rounds + 1)
        ]
    lines = summarise(rounds)
    if found.docs is not None:
        found.docs.mkdir(parents=True, exist_ok=True)
        write_json(found.docs / "bench.json", lines, rounds, found.seconds)
        (found.docs / "bench.svg").write_text(picture(lines, _subtitle(found)))
        say(f"\nwritten: {found.docs / 'bench.json'}, {found.docs / 'bench.svg'}")
    say(f"\nPython {machine()['python']}\n\n{markdown(lines)}")
    return _findings(rounds)


def _growth(found: argparse.Namespace) -> list[str]:
    amounts = Amounts(found.outcomes, found.users, found.carts)
    cases = _picked(GROWTH, found.only)
    # A database and a vhost of its own for each.
    with (
        services("tests") as empty_places,
        services("tests") as full_places,
        Deployment(empty_places) as empty,
        Deployment(full_places) as full,
    ):
        growth = measure_growth(empty, full, amounts, cases, found.rounds, found.seconds)
    write_growth(growth, found.docs, _subtitle(found))
    return [*_findings([*growth.empty, *growth.full]), *growth.findings]


def _memory(found: argparse.Namespace) -> list[str]:
    with services("tests") as places, Deployment(places) as deployment:
        memory = measure_memory(deployment, found.commands, found.seconds)
    write_memory(memory, found.docs)
    return memory.findings


def _cliffs(found: argparse.Namespace) -> list[str]:
    openings, due, idle = [], [], []
    for _ in range(found.rounds):
        for state in STATES:
            # A database of its own for each, with all of its tables as they were made.
            with services("tests") as places, Deployment(places) as deployment:
                openings.append(measure_opening(state, deployment, found.seconds))
        with services("tests") as places, Deployment(places) as deployment:
            idle.append(measure_idle_expiry(deployment))
            due += [measure_due_holds(deployment, same_type=same) for same in (True, False)]
    say(f"\n{markdown_of_cliffs(openings, due, idle)}")
    measured: list[Opening | DueHolds] = [*openings, *due]
    return [finding for each in measured for finding in each.findings]


def _orders(found: argparse.Namespace) -> list[str]:
    empty, full, cancelled = [], [], []
    for _ in range(found.rounds):
        with services("tests") as places, Deployment(places) as deployment:
            rates, sale = measure_rates(deployment, found.sales, found.seconds)
            empty.append(rates)
            cancelled.append(measure_cancelling(deployment, sale, found.seconds))
        with services("tests") as places, Deployment(places) as deployment:
            full.append(
                measure_full_rates(deployment, found.paid_orders, found.sales, found.seconds)
            )
    say(f"\n{markdown_of_orders(empty, full, cancelled)}")
    measured: list[OrderRates | Cancelling] = [*empty, *full, *cancelled]
    return [finding for each in measured for finding in each.findings]


def _picked(cases: Sequence[Case], only: str | None) -> list[Case]:
    """Return the cases of the groups asked for, and the hot row, their measure."""
    return [case for case in cases if only is None or case is HOT_ROW or case.group in only]


def _subtitle(found: argparse.Namespace) -> str:
    on = machine()
    return (
        f"{on['processor']}, {on['cores']} cores, Python {on['python']}, load generator included;"
        " median of"
        f" {found.rounds} round{'s' if found.rounds > 1 else ''} of {found.seconds:g} s each"
    )


def _findings(rounds: Sequence[Round]) -> list[str]:
    return [finding for each in rounds for run in each.values() for finding in run.findings]


def _verdict(findings: Sequence[str]) -> str:
    return "\n".join(["THE BOOKS DO NOT BALANCE:", *findings]) if findings else "All books balance."


if __name__ == "__main__":
    sys.exit(main())
