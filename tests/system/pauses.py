"""Stops every worker for a moment, so that a test may look at what is not decided yet."""

import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.deployment import Deployment


@asynccontextmanager
async def workers_paused(deployment: Deployment) -> AsyncIterator[None]:
    for worker in deployment.workers:
        worker.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in deployment.workers:
            worker.signal(signal.SIGCONT)
