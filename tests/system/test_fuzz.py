"""A few hundred requests from the OpenAPI document: no 5xx, and no answer it does not name.

`make fuzz` asks 100,000 times.
"""

import asyncio
import random

from tests.deployment import Deployment
from tests.system.fuzzing import fuzz, set_stage

REQUESTS = 600
ROUND = 5


async def test_every_answer_is_documented_and_none_is_a_5xx(system: Deployment) -> None:
    known = await set_stage(system)
    start = random.randrange(1_000_000)
    result = await asyncio.to_thread(fuzz, known, REQUESTS, lambda _: None, start, ROUND)
    assert result.findings == {}
    assert result.asked >= REQUESTS
    assert len(result.by_operation) == 20
    assert {"200", "401", "404", "422"} <= set(result.statuses)
