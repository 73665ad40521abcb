"""Processes that the tests start by forking: they are like those that `python -m` starts."""

import asyncio
import signal
from pathlib import Path

from dev.waiting import wait_while
from tests.forks import ForkedProcess, fork_server


async def start(log: Path, seconds: float = 0.0, code: int = 0) -> ForkedProcess:
    environment = {"SAYS": log.name, "SECONDS": str(seconds), "CODE": str(code)}
    return await fork_server().start("tests.dev.forked", environment, log)


async def test_each_has_its_environment_its_log_and_its_exit_code(tmp_path: Path) -> None:
    codes = [0, 3, 7]
    logs = [tmp_path / str(code) for code in codes]
    processes = await asyncio.gather(*(map(start, logs, [0.1] * 3, codes)))
    assert await asyncio.gather(*(process.wait() for process in processes)) == codes
    assert [process.returncode for process in processes] == codes
    for log in logs:
        assert log.read_text() == f"{log.name} ['CODE', 'SAYS', 'SECONDS']\n"


async def test_a_signal_ends_it(tmp_path: Path) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL, signal.SIGINT):
        log = tmp_path / number.name
        process = await start(log, seconds=60)
        wait_while(lambda log=log: None if log.exists() and log.read_text() else "silent", 10, "it")
        assert process.returncode is None
        process.send_signal(number)
        assert await process.wait() == -number
