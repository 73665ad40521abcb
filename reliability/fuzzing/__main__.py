"""`python -m reliability.fuzzing`: starts a system and sends it 100,000 generated requests."""

import argparse
import asyncio
import sys
import time

from dev.services import services
from loadtest.bench.system.deployment import Deployment
from loadtest.progress import say
from reliability.fuzzing.fixtures import create_fixtures
from reliability.fuzzing.fuzzer import Results, fuzz

REQUESTS = 100_000
ROUND_SIZE = 50
SAY_EVERY_SECONDS = 5.0


def main() -> int:
    """Return 0 if every answer was documented and none was a 5xx, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m reliability.fuzzing", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument(
        "--round", type=int, default=ROUND_SIZE, help="requests to one operation in a row"
    )
    options = parser.parse_args()
    results = run(options.requests, options.seed, options.round)
    for operation, sent in sorted(results.by_operation.items()):
        say(f"{sent:>7,}  {operation}")
    count = len(results.findings)
    say(f"{count} kinds of undocumented answers." if count else "All documented, none a 5xx.")
    return 1 if results.findings else 0


def run(request_count: int, first_seed: int, round_size: int) -> Results:
    """Start a gateway and a worker, and fuzz them. Raises `Unavailable`."""
    said_at = 0.0

    def on_progress(results: Results) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > SAY_EVERY_SECONDS or results.sent >= request_count:
            said_at = time.monotonic()
            statuses = "  ".join(f"{s}: {n:,}" for s, n in sorted(results.statuses.items()))
            findings = len(results.findings)
            say(f"{results.sent:>7,} of {request_count:,}   {statuses}   wrong: {findings}")

    with services("tests") as found, Deployment(found) as deployment:
        deployment.serve(workers=1, gateways=1)
        fixtures = asyncio.run(create_fixtures(deployment.gateway_urls[0]))
        return fuzz(fixtures, request_count, on_progress, first_seed, round_size)


if __name__ == "__main__":
    sys.exit(main())
