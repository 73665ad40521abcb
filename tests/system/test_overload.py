"""Far more than can be done, for a few seconds: what is accepted is done, the rest is told so.

No figure is asked for here; `python -m loadtest.overload` measures them.
"""

from collections.abc import AsyncIterator

import httpx
import pytest

from dev.services import services
from loadtest.overload.run import OverloadOptions, OverloadResult, compare, run_overload
from loadtest.overload.tally import Tally
from loadtest.progress import Progress
from tests.conftest import migrate
from tests.deployment import JWT_SECRET, Deployment
from tests.system.books import Books


@pytest.fixture(scope="module")
async def deployment() -> AsyncIterator[Deployment]:
    with services("tests") as own:
        migrate(own.database_url)
        async with Deployment(own.database_url, own.broker_url) as deployment:
            await deployment.start()
            yield deployment


@pytest.fixture(scope="module")
async def result(deployment: Deployment) -> OverloadResult:
    options = OverloadOptions(
        deployment.url,
        deployment.broker_url,
        deployment.database_url,
        JWT_SECRET,
        times=10,
        seconds=6,
        peak_seconds=2,
        afterwards_seconds=3,
        connections=2_000,
        buyers=100,
    )
    return await run_overload(options, Progress(quiet=True))


async def test_what_is_accepted_is_done_and_what_is_shed_is_not(
    result: OverloadResult, deployment: Deployment
) -> None:
    assert result.findings == []
    assert result.peak.decided > 0
    assert result.overload.decided > 0
    async with Books(deployment.database_url) as books:
        await books.balance()


async def test_what_is_too_much_is_shed(result: OverloadResult, deployment: Deployment) -> None:
    """Each with Retry-After, or it would be a finding; the gateway counts as many."""
    assert result.overload.shed > 0
    async with httpx.AsyncClient(trust_env=False) as http:
        metrics = (await http.get(f"{deployment.url}/metrics")).text
    (line,) = [one for one in metrics.splitlines() if one.startswith("holdfast_requests_shed_t")]
    assert float(line.split()[1]) >= result.overload.shed


@pytest.mark.parametrize(
    ("late", "recorded", "granted", "balances"),
    [
        ([True, False], 10, 6, True),
        ([True, False], 12, 8, True),  # two of which nothing is known
        ([True, None], 9, 6, False),  # accepted, and lost
        ([True], 9, 6, False),
        ([True, False], 9, 6, False),
        ([True, False], 13, 6, False),  # a refused one was done
        ([True, False], 10, 5, False),
        ([True, False], 10, 9, False),
    ],
)
def test_the_books_are_compared(
    late: list[bool | None], recorded: int, granted: int, balances: bool
) -> None:
    total = Tally(succeeded=5, refused=3, pending=2, shed=100, unknown=2)
    assert (compare(total, late, recorded, granted) == []) == balances
