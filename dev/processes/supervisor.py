"""Keeps processes running: merges their output, restarts one that ends, stops them all."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

from dev.processes.process import Process
from dev.progress import say

FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
STEADY_SECONDS = 60.0
"""A process that ran this long counts as recovered: its next restart is prompt again."""

PREFIX_WIDTH = len("worker-1")
COLOURS = (36, 33, 35, 32, 34)  # cyan, yellow, magenta, green, blue
_next_colour = count()


@dataclass(frozen=True)
class Command:
    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class Child:
    """A command that runs, restarted if it ends, until `stop`."""

    def __init__(self, command: Command) -> None:
        self.exits = 0
        self._command = command
        self._prefix = prefix(
            command.name, coloured=sys.stdout.isatty() and "NO_COLOR" not in os.environ
        )
        self._process: Process | None = None
        self._stopping = threading.Event()
        self._starting = threading.Lock()
        self._thread = threading.Thread(target=self._keep_running, name=command.name, daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._command.name

    def stop(self) -> None:
        with self._starting:
            self._stopping.set()
        if self._process:
            self._process.stop()
        self._thread.join()

    def _keep_running(self) -> None:
        delay_seconds = FIRST_DELAY_SECONDS
        while process := self._start():
            started_at = time.monotonic()
            with process.output as output:
                for line in output:
                    say(self._prefix + line.decode(errors="replace").rstrip())
            exit_code = process.wait()
            if self._stopping.is_set():
                return
            self.exits += 1
            if time.monotonic() - started_at > STEADY_SECONDS:
                delay_seconds = FIRST_DELAY_SECONDS
            say(f"{self._prefix}{_ending(exit_code)}; restarting in {delay_seconds:g} s")
            self._stopping.wait(delay_seconds)
            delay_seconds = min(2 * delay_seconds, LONGEST_DELAY_SECONDS)

    def _start(self) -> Process | None:
        with self._starting:
            if self._stopping.is_set():
                return None
            self._process = Process(
                self._command.arguments,
                environment=self._command.environment,
                output=subprocess.PIPE,
            )
            return self._process


@contextmanager
def supervised(commands: Sequence[Command]) -> Iterator[list[Child]]:
    children = [Child(command) for command in commands]
    try:
        yield children
    finally:
        stops = [threading.Thread(target=child.stop) for child in children]
        for stop in stops:
            stop.start()
        for stop in stops:
            stop.join()


def prefix(name: str, *, coloured: bool) -> str:
    label = f"{name:<{PREFIX_WIDTH}} │ "
    if not coloured:
        return label
    return f"\N{ESCAPE}[{COLOURS[next(_next_colour) % len(COLOURS)]}m{label}\N{ESCAPE}[0m"


def _ending(exit_code: int) -> str:
    return f"killed by signal {-exit_code}" if exit_code < 0 else f"ended with code {exit_code}"
