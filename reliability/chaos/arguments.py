"""The profiles, and the options that change them."""

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reliability.chaos.faults import broker, postgres, processes
from reliability.chaos.faults.catalogue import FAULTS
from reliability.chaos.faults.context import Fault

SHORT_SEED = 4


@dataclass(frozen=True, slots=True)
class Profile:
    """How many faults are injected, how often, and the load meanwhile."""

    name: str
    commands: int
    """The minimum; more if the faults take longer."""
    commands_per_second: float
    long_pause_seconds: float
    hold_seconds: int
    faults: tuple[str, ...]
    """Each is injected once per round."""
    once: tuple[str, ...] = ()
    """Each is injected once, in the first round: those with a long standstill."""
    targets: dict[str, int] = field(default_factory=dict)
    """Minimum counts at the end of the run."""
    faults_a_round: int = 0
    """Faults per round that serve the targets."""
    awaits_recovery: bool = True
    """Whether a fault waits until the system has recovered from the previous one."""
    strike_seconds: float = math.inf
    """After this time no further faults begin, and the rest of the schedule is dropped."""


@dataclass(frozen=True, slots=True)
class Options:
    profile: Profile
    seed: int
    json: Path | None
    logs: Path | None


CANDIDATES: dict[str, Sequence[Fault]] = {
    "worker-kills": processes.CRASHES,
    "broker-restarts": broker.RESTARTS,
    "postgres-restarts": postgres.RESTARTS,
    "lost-commits": (postgres.LOST_COMMIT,),
}
"""The targets, and the faults that count towards each."""
TARGETS = tuple(CANDIDATES)
EACH_ONCE = tuple(name for name in FAULTS if name != "broker-half-open")
SLOW = (
    "worker-freeze",
    "postgres-freeze",
    "postgres-half-open",
    "broker-freeze",
    "memory-alarm",
    "disk-alarm",
    "broker-app-restart",
    "binding-deleted",
    "queue-deleted",
    "everything-killed",
)
AIMED_AT = tuple(fault.name for faults in CANDIDATES.values() for fault in faults)

PROFILES = {
    "short": Profile(
        name="short",
        commands=20_000,
        commands_per_second=200,
        long_pause_seconds=9,
        hold_seconds=6,
        # A restart takes long, and this profile kills the broker anyway.
        faults=tuple(name for name in EACH_ONCE if name != "broker-restart"),
    ),
    "long": Profile(
        name="long",
        commands=1_000_000,
        commands_per_second=400,
        long_pause_seconds=30,
        hold_seconds=6,
        faults=tuple(name for name in EACH_ONCE if name not in (*SLOW, *AIMED_AT)),
        once=SLOW,
        targets=dict(zip(TARGETS, (1_000, 100, 300, 1_000), strict=True)),
        faults_a_round=120,
        awaits_recovery=False,
    ),
}


def read_arguments(arguments: Sequence[str] | None = None) -> Options:
    options = _parser().parse_args(arguments)
    profile = PROFILES[options.profile]
    if options.commands is not None:
        profile = replace(profile, commands=options.commands)
    if options.rate is not None:
        profile = replace(profile, commands_per_second=options.rate)
    if options.faults is not None:
        profile = replace(profile, faults=options.faults, once=(), targets={})
    if options.awaits_recovery:
        profile = replace(profile, awaits_recovery=True)
    if options.minutes is not None:
        profile = replace(profile, commands=0, strike_seconds=60 * options.minutes)
    given = {name: getattr(options, name.replace("-", "_")) for name in TARGETS}
    targets = {name: number for name, number in given.items() if number is not None}
    if targets:
        profile = replace(profile, targets=targets)
        profile = replace(profile, faults_a_round=profile.faults_a_round or 60)
    return Options(profile, options.seed, options.json, options.logs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.chaos",
        description="Injects faults into a system under load, and checks the invariants.",
        epilog=f"Faults: {', '.join(FAULTS)}. Exits with 1 if an invariant was violated.",
    )
    parser.add_argument("--profile", choices=PROFILES, default="short")
    parser.add_argument("--seed", type=int, default=SHORT_SEED, help="of commands and faults")
    parser.add_argument("--faults", type=_faults, metavar="LIST", help="only these, with commas")
    parser.add_argument("--commands", type=int, metavar="N", help="at least so many")
    parser.add_argument("--rate", type=float, metavar="N", help="commands a second")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="only the faults that fit in; the seed picks"
    )
    parser.add_argument(
        "--awaits-recovery", action="store_true", help="no fault begins before the last is over"
    )
    for name in TARGETS:
        parser.add_argument(f"--{name}", type=int, metavar="N", help="so many in all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary there")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keep the processes' logs")
    return parser


def _faults(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    if unknown := [name for name in names if name not in FAULTS]:
        raise argparse.ArgumentTypeError(f"there is no fault {', '.join(unknown)}")
    return names
