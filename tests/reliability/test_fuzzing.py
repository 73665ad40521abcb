"""Six hundred generated requests get documented answers and no 5xx; `make fuzz` sends 100,000."""

import asyncio
import random
import re
import sys

from tests.gateway.http.test_openapi import OPERATIONS

REQUESTS = 600
ROUND = 5


async def test_every_answer_is_documented_and_none_is_a_5xx() -> None:
    seed = random.randrange(1_000_000)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "-m", "reliability.fuzzing"),
        *("--requests", str(REQUESTS), "--round", str(ROUND), "--seed", str(seed)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    told = (await process.communicate())[0].decode()
    assert process.returncode == 0, told
    assert "All documented, none a 5xx." in told
    lines = re.findall(r"^ *[\d,]+  (?:GET|POST|PUT|PATCH|DELETE) /", told, re.M)
    assert len(lines) == len(OPERATIONS)
