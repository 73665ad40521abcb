"""Starts our processes without importing their libraries each time: `python -m tests.fork_server`.

Importing takes a process a second of CPU, and the tests start more than a hundred. This server has
imported everything that they need, and forks for each. A fork then executes a module as
`python -m` does: from the reading of its settings on, it is a process like any other. How
`python -m` itself starts them is what the tests of `make up` and the chaos runs show.

A line of JSON on standard input asks for a process; lines on standard output tell of its PID, and
of its exit code once it has ended.
"""

import gc
import json
import os
import runpy
import select
import signal
import sys
from importlib import import_module
from typing import Any

MODULES = ("gateway", "worker", "payments")


def main() -> None:
    for module in MODULES:
        import_module(f"{module}.__main__")
        del sys.modules[f"{module}.__main__"]  # `runpy` executes it in the fork
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests, which then end this
    asked = serve()
    if asked is not None:  # a fork
        become(asked)
        sys.argv[:] = [asked["module"]]
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)


def serve() -> dict[str, Any] | None:
    """Fork for each request; return the request in the fork, and None at the end of the input."""
    children, wakes = os.pipe()
    for end in (children, wakes):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(wakes)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    running: set[int] = set()
    buffer = b""
    while True:
        readable, _, _ = select.select([sys.stdin.fileno(), children], [], [])
        if children in readable:
            os.read(children, 1024)
            for pid in [*running]:
                if (ended := os.waitpid(pid, os.WNOHANG))[0]:
                    running.remove(pid)
                    tell(ended=pid, code=os.waitstatus_to_exitcode(ended[1]))
        if sys.stdin.fileno() in readable:
            buffer += (read := os.read(sys.stdin.fileno(), 65536))
            if not read:
                return None
            *lines, buffer = buffer.split(b"\n")
            for line in lines:
                asked: dict[str, Any] = json.loads(line)
                if not (pid := os.fork()):
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    os.close(children)
                    os.close(wakes)
                    return asked
                running.add(pid)
                tell(started=pid)


def become(asked: dict[str, Any]) -> None:
    """Take on the environment and the log of the process that was asked for."""
    os.environ.clear()
    os.environ.update(asked["environment"])
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.close(log)
    os.close(nothing)


def tell(**what: int) -> None:
    os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
