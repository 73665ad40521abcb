"""Short runs of overload against a deployment."""

import pytest

from loadtest.overload import run
from loadtest.overload.run import OverloadOptions, OverloadResult, run_overload
from loadtest.progress import Progress
from tests.deployment import JWT_SECRET, Deployment

GOODPUT_SHARE = 0.25
"""Of the peak: far below the goal of 80%, because the clients share a small machine."""
NORMAL_P99_SECONDS = 2.0
"""Normal means that nothing is shed; other work on the machine may make it slow for a moment."""


async def overload(
    deployment: Deployment, seconds: float, afterwards_seconds: float, connections: int
) -> OverloadResult:
    options = OverloadOptions(
        deployment.url,
        deployment.broker_url,
        deployment.database_url,
        JWT_SECRET,
        times=10,
        seconds=seconds,
        peak_seconds=2,
        before_seconds=2,
        afterwards_seconds=afterwards_seconds,
        connections=connections,
        buyers=100,
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run, "WARM_UP_SECONDS", 1.0)
        patched.setattr(run, "NORMAL_P99_SECONDS", NORMAL_P99_SECONDS)
        return await run_overload(options, Progress(quiet=True))
