"""Overload where the workers are the bottleneck; and how the books of such a run are compared.

Other tests may run beside it: the quota keeps the workers as slow on a free machine.
"""

from collections.abc import AsyncIterator

import pytest

from gateway.server.overload import MAX_IN_FLIGHT_COMMANDS
from loadtest.overload.quota import quota
from loadtest.overload.run import OverloadResult, compare
from loadtest.overload.tally import Tally
from tests.deployment import Deployment, own_deployment
from tests.system.books import Books
from tests.system.overloading import GOODPUT_SHARE, overload

WORKER_SHARE = 0.05
"""Of a core: small enough to make the worker the bottleneck on a busy machine too."""


@pytest.fixture(scope="module")
async def deployment(template_url: str) -> AsyncIterator[Deployment]:
    async with own_deployment(template_url) as deployment:
        await deployment.start()
        yield deployment


@pytest.fixture(scope="module")
async def behind(deployment: Deployment) -> OverloadResult:
    """The workers are the bottleneck; afterwards half of their peak is offered."""
    with quota([deployment.workers[0].pid], WORKER_SHARE):
        return await overload(
            deployment, seconds=8, afterwards_seconds=20, connections=MAX_IN_FLIGHT_COMMANDS + 1_000
        )


async def test_with_workers_behind_excess_load_is_shed_and_nothing_is_lost(
    behind: OverloadResult, deployment: Deployment
) -> None:
    assert behind.findings == []
    assert behind.overload.shed > 0
    async with Books(deployment.database_url) as books:
        await books.balance()


async def test_with_workers_behind_goodput_holds(behind: OverloadResult) -> None:
    assert behind.goodput > GOODPUT_SHARE * behind.peak_rate


async def test_workers_that_were_behind_catch_up(behind: OverloadResult) -> None:
    assert behind.normal_after_seconds is not None


@pytest.mark.parametrize(
    ("late", "recorded", "granted", "balances"),
    [
        ([True, False], 10, 6, True),
        ([True, False], 12, 8, True),  # two of unknown outcome
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
