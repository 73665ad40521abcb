"""Asks every operation of the OpenAPI document for what it describes and for what it does not.

`python -m tests.system.fuzzing` asks 100,000 times; the test suite a few hundred times.
"""

import argparse
import asyncio
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from requests.adapters import HTTPAdapter
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from dev.services import services
from loadtest.progress import say as tell
from shared.ids import new_id
from tests.conftest import migrate
from tests.deployment import Deployment
from tests.system.clients import Site

REQUESTS = 100_000
ROUND = 50
"""Requests of one kind in a row."""
ANSWER_SECONDS = 60
MAX_EXAMPLES = 20
ADDRESS = "127.1.99.1"
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
SELDOM = {"POST /v1/users": 5}
"""Operations that are asked only every so many rounds: a password takes 50 ms to hash."""


@dataclass
class Known:
    """What there is: IDs made up at random lead nowhere."""

    url: str
    token: str
    path: dict[str, str]


@dataclass
class Fuzz:
    """How often was asked, what was answered, and what should not have been."""

    statuses: Counter[str] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        return self.statuses.total()


def fuzz(
    known: Known, wanted: int, say: Callable[[Fuzz], None], start: int = 0, round_size: int = ROUND
) -> Fuzz:
    """Ask `wanted` times; `start` is the seed of the first round, the next ones follow it."""
    schema = schemathesis.openapi.from_url(f"{known.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    fuzz = Fuzz()
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", _FromElsewhere())
        for number, (operation, mode, path) in enumerate(kinds(operations, known), start):
            ask_a_round(fuzz, operation, mode, path, known, session, number, round_size)
            say(fuzz)
            if fuzz.asked >= wanted:
                return fuzz
    raise AssertionError("the kinds never end")


class _FromElsewhere(HTTPAdapter):
    """Comes from an address of its own: what it guesses wrong keeps nobody else out."""

    def init_poolmanager(self, *args: Any, **how: Any) -> None:
        super().init_poolmanager(*args, **how, source_address=(ADDRESS, 0))


Kind = tuple[APIOperation, GenerationMode, dict[str, str]]


def kinds(operations: list[APIOperation], known: Known) -> Iterator[Kind]:
    """Give each operation in turn, as described and not, with IDs that exist and made-up ones."""
    for turn in itertools.count():
        for mode, use_known in itertools.product(GenerationMode, (True, False)):
            for operation in operations:
                if turn % SELDOM.get(operation.label, 1):
                    continue
                names = {parameter.name for parameter in operation.path_parameters}
                path = {name: known.path[name] for name in names} if use_known else {}
                yield operation, mode, path


def ask_a_round(
    fuzz: Fuzz,
    operation: APIOperation,
    mode: GenerationMode,
    path: dict[str, str],
    known: Known,
    session: requests.Session,
    number: int,
    round_size: int,
) -> None:
    """Ask one operation a few times. Hypothesis makes up what is asked for."""

    @seed(number)
    @settings(
        max_examples=round_size,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=path or None))
    def ask(case: Case) -> None:
        # Every tenth is nobody.
        headers = {"Authorization": f"Bearer {known.token}"} if fuzz.asked % 10 else {}
        response = case.call(
            base_url=known.url, session=session, headers=headers, timeout=ANSWER_SECONDS
        )
        fuzz.statuses[str(response.status_code)] += 1
        fuzz.by_operation[operation.label] += 1
        wrong = _what_is_wrong(case, response)
        if wrong and len(fuzz.findings) < MAX_EXAMPLES:
            curl = case.as_curl_command(headers=headers)
            finding = f"{operation.label}: {wrong}"
            if finding not in fuzz.findings:
                fuzz.findings[finding] = f"round {number}: {curl}"
                tell(f"WRONG {finding}\n    {fuzz.findings[finding]}")

    try:
        ask()
    except Unsatisfiable:
        return  # nothing can be wrong with a request that takes nothing


def _what_is_wrong(case: Case, response: schemathesis.Response) -> str | None:
    if response.status_code >= 500:
        return f"{response.status_code} {response.text[:300]}"
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as failures:
        return "; ".join(str(failure)[:300] for failure in failures.exceptions)
    return None


async def set_stage(deployment: Deployment) -> Known:
    """Register somebody with an event, a ticket type, a command and tickets in the cart."""
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        person = await Site(deployment, http).newcomer()
        ticket_type = await person.ticket_type((await person.event())["id"], 1_000_000)
        key = new_id()
        assert (await person.reserve(ticket_type["id"], key=key)).status_code == 200
    path = {
        "event_id": ticket_type["event_id"],
        "ticket_type_id": ticket_type["id"],
        "command_id": key,
    }
    return Known(deployment.url, person.token, path)


async def run(wanted: int, start: int, round_size: int) -> Fuzz:
    said_at = 0.0

    def say(fuzz: Fuzz) -> None:
        nonlocal said_at
        if time.monotonic() - said_at > 5 or fuzz.asked >= wanted:
            said_at = time.monotonic()
            statuses = "  ".join(f"{s}: {n:,}" for s, n in sorted(fuzz.statuses.items()))
            tell(f"{fuzz.asked:>7,} of {wanted:,}   {statuses}   wrong: {len(fuzz.findings)}")

    with services("tests") as own:
        migrate(own.database_url)
        async with Deployment(own.database_url, own.broker_url) as deployment:
            await deployment.start()
            known = await set_stage(deployment)
            return await asyncio.to_thread(fuzz, known, wanted, say, start, round_size)


def main() -> int:
    """Return 0 if every answer was as documented and none was a 5xx."""
    parser = argparse.ArgumentParser(prog="python -m tests.system.fuzzing", description=__doc__)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--round", type=int, default=ROUND, help="requests of one kind in a row")
    found = parser.parse_args()
    result = asyncio.run(run(found.requests, found.seed, found.round))
    for operation, asked in sorted(result.by_operation.items()):
        tell(f"{asked:>7,}  {operation}")
    wrong = len(result.findings)
    tell(f"{wrong} kinds of wrong answers." if wrong else "All documented, none a 5xx.")
    return 1 if result.findings else 0


if __name__ == "__main__":
    sys.exit(main())
