"""Runs seeds of the simulation on all cores, or one of them with its trace."""

import argparse
import os
import signal
import sys
import time

from reliability.simulation.many import simulate_all
from reliability.simulation.run import Verdict, simulate

PROGRESS_SECONDS = 1.0
MAX_FAILURES = 10
"""After so many failing seeds the run ends: one is enough to work on."""


def main() -> int:
    """Return 0 if no seed broke an invariant."""
    options = _read_arguments()
    if options.seed is not None:
        verdict = simulate(options.seed, trace=options.trace)
        _say("\n".join(verdict.trace))
        return report(verdict)
    return _run_many(options.first, options.seeds, options.jobs)


def report(verdict: Verdict) -> int:
    if not verdict.violations:
        _say(f"seed {verdict.seed}: {verdict.commands} commands, no violation")
        return 0
    _say(
        f"seed {verdict.seed} FAILS; python -m reliability.simulation --seed {verdict.seed} --trace"
    )
    for violation in verdict.violations:
        _say(f"    {violation}")
    return 1


def _run_many(first: int, seeds: int, jobs: int) -> int:
    # On SIGTERM, end the processes and summarise the seeds that are done.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = said_at = time.monotonic()
    done = commands = 0
    failing: list[Verdict] = []
    interrupted = False
    try:
        for portion in simulate_all(range(first, first + seeds), jobs):
            done += len(portion)
            commands += sum(verdict.commands for verdict in portion)
            for verdict in portion:
                if verdict.violations:
                    failing.append(verdict)
                    report(verdict)
            if time.monotonic() - said_at >= PROGRESS_SECONDS:
                said_at = time.monotonic()
                rate = done / (said_at - started) * 60
                _say(f"{done:>9,} of {seeds:,} seeds {rate:>9,.0f}/min   failing {len(failing):,}")
            if len(failing) >= MAX_FAILURES:
                break
    except KeyboardInterrupt:
        interrupted = True
    minutes = (time.monotonic() - started) / 60
    _say(
        f"{done:,} seeds, {commands:,} commands, {minutes:.1f} minutes "
        f"({done / minutes:,.0f} seeds/min on {jobs} cores): {len(failing):,} seeds failing"
    )
    return 1 if failing else 130 if interrupted else 0


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m reliability.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default: 10,000)")
    parser.add_argument("--first", type=int, default=0, help="the first of them (default: 0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--seed", type=int, help="run this one only")
    parser.add_argument("--trace", action="store_true", help="with --seed: print its events")
    return parser.parse_args()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
