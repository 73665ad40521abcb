"""A few seconds of overload: accepted commands are applied, and the rest is refused.

The bounds here hold on a busy machine too; `python -m loadtest.overload` measures.
"""

import httpx
import pytest

from loadtest.overload.run import OverloadResult
from tests.deployment import Deployment
from tests.system.books import Books
from tests.system.overloading import GOODPUT_SHARE, overload


@pytest.fixture(scope="module")
async def result(deployment: Deployment) -> OverloadResult:
    return await overload(deployment, seconds=6, afterwards_seconds=10, connections=2_000)


async def test_accepted_commands_are_applied_and_shed_ones_are_not(
    result: OverloadResult, deployment: Deployment
) -> None:
    assert result.findings == []
    assert result.peak.decided > 0
    assert result.overload.decided > 0
    async with Books(deployment.database_url) as books:
        await books.balance()


async def test_excess_load_is_shed(result: OverloadResult, deployment: Deployment) -> None:
    """Each has a Retry-After, or the run reports a finding; the gateway counts as many."""
    assert result.overload.shed > 0
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{deployment.url}/metrics")).text
    (line,) = [one for one in metrics.splitlines() if one.startswith("holdfast_requests_shed_t")]
    assert float(line.split()[1]) >= result.overload.shed


async def test_goodput_holds_under_overload(result: OverloadResult) -> None:
    assert result.goodput > GOODPUT_SHARE * result.peak_rate


async def test_no_request_is_shed_after_the_overload(result: OverloadResult) -> None:
    assert result.normal_after_seconds is not None
