"""A signal lets a run finish its report and cancels only its own task."""

import signal
import subprocess
import sys

import pytest

PROGRAM = """
import asyncio

from dev.processes.interruption import cancel_on_signals, stop_on_signals


async def main():
    cancel_on_signals()
    other = asyncio.create_task(asyncio.sleep(0.5, "the other went on"))
    print("ready", flush=True)
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        asyncio.current_task().uncancel()
        print(await other)


stop_on_signals()
asyncio.run(main())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_the_running_task_and_a_second_does_no_harm(
    number: signal.Signals,
) -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        process.send_signal(number)

        assert process.stdout.read() == "the other went on\n"
    assert process.returncode == 0
