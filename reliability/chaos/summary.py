"""The summary of a run: faults, commands, outcomes and violations."""

import json
import signal
from collections import Counter
from collections.abc import Sequence
from typing import Any

from reliability.chaos.checks.recovery import Recoveries
from reliability.chaos.round import Result
from reliability.chaos.system.system_under_test import SystemUnderTest

GOALS_SECONDS = {"worker": 2.0, "all workers": 2.0, "postgres": 5.0, "broker": 15.0}
"""To the first new success."""


def summary(
    seed: int,
    profile: str,
    results: Sequence[Result],
    reached: dict[str, int],
    seconds: float,
    *,
    stopped: bool,
) -> dict[str, Any]:
    recoveries = Recoveries()
    recoveries.all = [each for result in results for each in result.recoveries.all]
    struck: Counter[str] = Counter()
    missed: Counter[str] = Counter()
    answers: Counter[str] = Counter()
    for result in results:
        struck += result.struck
        missed += result.missed
        answers += result.answers
    return {
        "profile": profile,
        "seed": seed,
        "seconds": round(seconds, 1),
        "rounds": len(results),
        "stopped": stopped,
        "commands": sum(result.commands for result in results),
        "orders": sum(result.orders for result in results),
        "orders_paid": sum(result.orders_paid for result in results),
        "payments": sum(result.payments for result in results),
        "unknown_attempts": sum(result.unknown for result in results),
        "answers": dict(sorted(answers.items())),
        "faults": dict(sorted(struck.items())),
        "faults_without_target": dict(sorted(missed.items())),
        "totals": reached,
        "recovery_seconds": recoveries.figures(),
        "database_checks": sum(result.looks for result in results),
        "looks_without_postgres": sum(result.failed_looks for result in results),
        "slowest_look_seconds": round(max(each.slowest_look_seconds for each in results), 3),
        "violations": [finding for result in results for finding in result.violations],
    }


def as_text(summed: dict[str, Any]) -> str:
    lines = [
        "",
        f"{summed['profile']} profile, seed {summed['seed']}, {summed['seconds']:,.0f} s"
        + (f"; stopped after {summed['rounds']} rounds" if summed["stopped"] else ""),
        f"commands   {summed['commands']:,}; attempts without a definite answer"
        f" {summed['unknown_attempts']:,}",
        f"orders     {summed['orders']:,}, {summed['orders_paid']:,} of them paid,"
        f" by {summed['payments']:,} payments",
        f"answers    {_listed(summed['answers'])}",
        f"faults     {sum(summed['faults'].values())}: {_listed(summed['faults'])}",
        f"in all     {_listed(summed['totals'])}",
    ]
    if summed["faults_without_target"]:
        lines.append(f"missed     {_listed(summed['faults_without_target'])}")
    lines.append("recovery   seconds from the fault's end to the first new success")
    for group, figures in summed["recovery_seconds"].items():
        lines.append(f"           {group:<15} {_recovery(group, figures)}")
    lines.append(
        f"database   audited {summed['database_checks']:,} times, the longest audit"
        f" {summed['slowest_look_seconds']:.2f} s"
    )
    violations = summed["violations"]
    lines.append(f"violations {len(violations)}")
    lines += [f"  {violation}" for violation in violations]
    return "\n".join(lines)


def reached(system: SystemUnderTest, results: Sequence[Result]) -> dict[str, int]:
    """The counts for the targets."""
    struck: Counter[str] = Counter()
    for result in results:
        struck += result.struck
    everything = struck["everything-killed"]
    return {
        "worker-kills": sum(
            code == -signal.SIGKILL for worker in system.workers for code in worker.deaths
        ),
        "gateway-kills": sum(
            code == -signal.SIGKILL for gateway in system.gateways for code in gateway.deaths
        ),
        "broker-restarts": everything
        + sum(struck[name] for name in ("broker-kill", "broker-restart", "broker-app-restart")),
        "postgres-restarts": everything
        + sum(number for name, number in struck.items() if name in POSTGRES_RESTARTS),
        "lost-commits": system.proxies["worker postgres"].commits_lost,
    }


POSTGRES_RESTARTS = frozenset(
    {
        "postgres-restart",
        "postgres-kill",
        "postgres-restart-in-transaction",
        "postgres-restart-at-commit",
    }
)


def _recovery(group: str, figures: dict[str, float]) -> str:
    said = f"of {figures['number']:g}"
    if "median" in figures:
        said = f"median {figures['median']:.2f}, longest {figures['longest']:.2f} {said}"
    if figures["disturbed"]:
        said += f", {figures['disturbed']:g} disturbed left out"
    if group in GOALS_SECONDS:
        said += f", goal {GOALS_SECONDS[group]:g}"
    return said


def _listed(numbers: dict[str, int]) -> str:
    return ", ".join(f"{name} {number:,}" for name, number in numbers.items())


def as_json(summed: dict[str, Any]) -> str:
    return json.dumps(summed, indent=2) + "\n"
