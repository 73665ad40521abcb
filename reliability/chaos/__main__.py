"""Starts a system, injects faults into it in rounds, and reports violated invariants."""

import asyncio
import logging
import random
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from dev.processes.interruption import cancel_on_signals, stop_on_signals
from dev.progress import say
from reliability.chaos.arguments import Options, read_arguments
from reliability.chaos.checks.database import Database
from reliability.chaos.clients.fixtures import TokenIssuer
from reliability.chaos.round import Result, RunContext, run_round
from reliability.chaos.schedule import schedule
from reliability.chaos.summary import as_json, as_text, reached, summary
from reliability.chaos.system.system_under_test import SystemUnderTest, system

MAX_ROUNDS = 100
SETUP_SECONDS = 30.0
STOPPED = 130
"""The exit code of a run that was stopped by a signal."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = read_arguments(arguments)
    stop_on_signals()
    for noisy in ("aiormq", "aio_pika"):  # lost connections are expected here
        logging.getLogger(noisy).setLevel(logging.CRITICAL)
    try:
        summed = asyncio.run(_run(options))
    except (KeyboardInterrupt, asyncio.CancelledError):
        return STOPPED
    say(as_text(summed))
    if options.json is not None:
        options.json.write_text(as_json(summed))
    if summed["violations"]:
        return 1
    return STOPPED if summed["stopped"] else 0


async def _run(options: Options) -> dict[str, Any]:
    cancel_on_signals()
    return await run(options)


async def run(
    options: Options, worker_module: str = "reliability.chaos.system.crashing_worker"
) -> dict[str, Any]:
    """Return the summary; cancelled, of the rounds that are over.

    Raises `Unavailable` where Postgres or RabbitMQ cannot be started here.
    """
    profile = options.profile
    stopped = False
    started_at = time.monotonic()
    results: list[Result] = []
    say(f"chaos, {profile.name} profile, seed {options.seed}: starting a system …")
    async with system(
        profile.hold_seconds,
        with_small_disk="disk-full" in profile.faults,
        with_wal_disk="wal-disk-full" in profile.faults,
        worker_module=worker_module,
    ) as built:
        try:
            async with Database(built.database_url) as database:
                run_context = await _run_context(built, database)
                for number in range(MAX_ROUNDS):
                    missing = _missing(options, built, results)
                    commands = profile.commands - sum(each.commands for each in results)
                    if results and not missing and commands <= 0:
                        break
                    seed = f"{options.seed}/{number}"
                    faults = schedule(profile, missing, random.Random(seed), first=number == 0)
                    say(f"round {seed}: {len(faults)} faults")
                    share = _share(commands, missing, profile.faults_a_round)
                    results.append(await run_round(run_context, profile, faults, share, seed))
                    for violation in results[-1].violations:
                        say(f"  VIOLATED {violation}")
        except asyncio.CancelledError:
            if not results:
                raise
            say("stopped; this is of the rounds that are over:")
            stopped = True
            if (task := asyncio.current_task()) is not None:
                task.uncancel()  # stopping the system may still take a while
        finally:
            if options.logs is not None:
                _keep_logs(built, options.logs)
        in_all = reached(built, results)
    seconds = time.monotonic() - started_at
    return summary(options.seed, profile.name, results, in_all, seconds, stopped=stopped)


async def _run_context(built: SystemUnderTest, database: Database) -> RunContext:
    async with httpx.AsyncClient(timeout=SETUP_SECONDS, trust_env=False) as http:
        token_issuer = await TokenIssuer.from_log_in(built.jwt_secret, built.gateways[0].url, http)
    return RunContext(built, database, token_issuer)


def _missing(options: Options, built: SystemUnderTest, results: Sequence[Result]) -> dict[str, int]:
    """How far each target still is."""
    so_far = reached(built, results)
    missing = {
        target: number - so_far[target] for target, number in options.profile.targets.items()
    }
    return {target: number for target, number in missing.items() if number > 0}


def _share(commands: int, missing: dict[str, int], faults_a_round: int) -> int:
    """The commands of this round, when as many rounds follow as the targets need."""
    rounds = -(-sum(missing.values()) // faults_a_round) if missing else 1
    return commands // rounds


def _keep_logs(built: SystemUnderTest, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for service in built.workers + built.gateways:
        if service.log.exists():
            shutil.copy(service.log, folder)


if __name__ == "__main__":
    sys.exit(main())
