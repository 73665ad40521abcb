"""Sends requests, valid and invalid, to each operation of the OpenAPI document."""

import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis.errors import Unsatisfiable
from requests.adapters import HTTPAdapter
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from loadtest.progress import say

ANSWER_SECONDS = 60
MAX_FINDINGS = 20
SOURCE_ADDRESS = "127.1.99.1"
CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ROUNDS_BETWEEN = {"POST /v1/users": 5}
"""Operations that run only in every n-th pass: hashing a password takes 50 ms."""

Operation = APIOperation[Any, Any, Any, Any]


@dataclass
class Fixtures:
    """What exists in the system under test: random IDs never reach a route's success path."""

    url: str
    token: str
    path_parameters: dict[str, str]


@dataclass
class Results:
    """How many requests were sent, the statuses of the answers, and the findings."""

    statuses: Counter[str] = field(default_factory=Counter)
    by_operation: Counter[str] = field(default_factory=Counter)
    findings: dict[str, str] = field(default_factory=dict)
    """An undocumented answer, and the request that reproduces it."""

    @property
    def sent(self) -> int:
        return self.statuses.total()


def fuzz(
    fixtures: Fixtures,
    request_count: int,
    on_progress: Callable[[Results], None],
    first_seed: int,
    round_size: int,
) -> Results:
    """Send at least `request_count` requests; the seed grows by one each round."""
    schema: Any = schemathesis.openapi.from_url(f"{fixtures.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    results = Results()
    with requests.Session() as session:
        session.trust_env = False
        session.mount("http://", _FixedSourceAddress())
        for round_seed, case in enumerate(rounds(operations, fixtures), first_seed):
            send_round(results, case, fixtures, session, round_seed, round_size)
            on_progress(results)
            if results.sent >= request_count:
                return results
    raise AssertionError("rounds() is infinite")


class _FixedSourceAddress(HTTPAdapter):
    """Sends from a separate address, so that its failed log-ins throttle no other client."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, source_address=(SOURCE_ADDRESS, 0))


@dataclass(frozen=True)
class Round:
    """What the requests of one round have in common."""

    operation: Operation
    mode: GenerationMode
    path_parameters: dict[str, str]
    """Empty where the IDs in the path are generated."""


def rounds(operations: list[Operation], fixtures: Fixtures) -> Iterator[Round]:
    """Yield each operation in turn, with valid and invalid input, with existing and random IDs."""
    for number in itertools.count():
        for mode, use_existing in itertools.product(GenerationMode, (True, False)):
            for operation in operations:
                if number % ROUNDS_BETWEEN.get(operation.label, 1):
                    continue
                names = {parameter.name for parameter in operation.path_parameters}
                path = {name: fixtures.path_parameters[name] for name in names}
                yield Round(operation, mode, path if use_existing else {})


def send_round(
    results: Results,
    a_round: Round,
    fixtures: Fixtures,
    session: requests.Session,
    round_seed: int,
    round_size: int,
) -> None:
    """Send up to `round_size` requests that Hypothesis generates."""
    strategy = a_round.operation.as_strategy(
        generation_mode=a_round.mode, path_parameters=a_round.path_parameters or None
    )

    @seed(round_seed)
    @settings(
        max_examples=round_size,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def send(case: Case[Any]) -> None:
        # Every tenth request is not authenticated.
        headers = {"Authorization": f"Bearer {fixtures.token}"} if results.sent % 10 else {}
        response = case.call(
            base_url=fixtures.url, session=session, headers=headers, timeout=ANSWER_SECONDS
        )
        label = a_round.operation.label
        results.statuses[str(response.status_code)] += 1
        results.by_operation[label] += 1
        error = _undocumented(case, response)
        if error is None or len(results.findings) >= MAX_FINDINGS:
            return
        finding = f"{label}: {error}"
        if finding not in results.findings:
            results.findings[finding] = (
                f"seed {round_seed}: {case.as_curl_command(headers=headers)}"
            )
            say(f"WRONG {finding}\n    {results.findings[finding]}")

    try:
        send()
    except Unsatisfiable:
        return  # an operation without parameters has no invalid request


def _undocumented(case: Case[Any], response: schemathesis.Response) -> str | None:
    """Return why the OpenAPI document does not allow a response; a 5xx is never allowed."""
    if response.status_code >= 500:
        return f"{response.status_code} {response.text[:300]}"
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as failures:
        return "; ".join(str(failure)[:300] for failure in failures.exceptions)
    return None
