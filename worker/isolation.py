"""The isolated process of poison suspects: `python -m worker.isolation`, started by the worker.

A fork server imports what a worker needs and forks for each request. The fork executes the request
and exits; if it dies or stops sending heartbeats, the fork server reports that to the worker.
Requests and results are JSON with a length before it, on the fork server's standard input and
output.
"""

import asyncio
import contextlib
import json
import logging
import os
import select
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from typing import Any, cast

from shared.environment import read_settings
from worker.messaging.reading import Answer, DeadLetter
from worker.operations.partitions import create_committer
from worker.poison_messages import (
    decide_messages,
    refuse_message,
    refuse_unread_message,
    split_message,
)
from worker.settings import Settings
from worker.storage.engine import create_engine
from worker.telemetry import add_counts, read_counts

logger = logging.getLogger(__name__)

COMMAND = [sys.executable, "-m", "worker.isolation"]
START_TIMEOUT_SECONDS = 60
PAUSE_SECONDS = 1.0
"""Between attempts to start the fork server."""
HEARTBEAT_SECONDS = 1.0
SILENCE_SECONDS = 30.0
"""After this long without a heartbeat a fork counts as dead. A fork that waits for Postgres still
sends heartbeats; one that computes without end does not."""
CONNECTIONS = 4
READY = b"ready"
END = b"\0"
"""After a result. What a fork wrote before it died lacks it."""


class IsolatedProcess:
    """The worker's side: one request at a time. Implements `poison_messages.Isolation`."""

    def __init__(self) -> None:
        self._fork_server: Process | None = None

    async def decide(self, bodies: Sequence[bytes]) -> list[list[Answer]] | None:
        results = await self._request("decide", bodies)
        return results and [[_to_answer(one) for one in answers] for answers in results]

    async def refuse(self, body: bytes) -> list[Answer] | None:
        results = await self._request("refuse", [body])
        return results and [_to_answer(one) for one in results]

    async def refuse_unread(self, body: bytes) -> list[Answer] | None:
        results = await self._request("refuse_unread", [body])
        return results and [_to_answer(one) for one in results]

    async def split(self, body: bytes) -> list[bytes] | None:
        results = await self._request("split", [body])
        return results and [text.encode("latin-1") for text in results]

    async def stop(self) -> None:
        """End the fork server, and a fork that is running."""
        server, self._fork_server = self._fork_server, None
        if server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGKILL)  # its session: a fork may compute without end
            await server.wait()

    async def _request(self, operation: str, bodies: Sequence[bytes]) -> Any:
        """Return the result, or None where the process died."""
        request = json.dumps([operation, [body.decode("latin-1") for body in bodies]]).encode()
        server = await self._started()
        try:
            sending = cast("asyncio.StreamWriter", server.stdin)
            sending.write(_frame(request))
            await sending.drain()
            result = await _receive(server)
        except (OSError, asyncio.IncompleteReadError):  # the fork server itself died
            await self.stop()
            return None
        if not result:
            return None
        answers, counts = json.loads(result)
        add_counts(counts)
        return answers

    async def _started(self) -> Process:
        """Return the fork server, starting it if needed; retries indefinitely."""
        while self._fork_server is None:
            try:
                # In a session of its own: Ctrl-C is for the worker.
                self._fork_server = await asyncio.create_subprocess_exec(
                    *COMMAND, stdin=PIPE, stdout=PIPE, start_new_session=True
                )
                async with asyncio.timeout(START_TIMEOUT_SECONDS):
                    await _receive(self._fork_server)
            except (OSError, asyncio.IncompleteReadError):
                logger.exception("the process for poison suspects does not start")
                await self.stop()
                await asyncio.sleep(PAUSE_SECONDS)
        return self._fork_server


def _frame(data: bytes) -> bytes:
    return len(data).to_bytes(8) + data


async def _receive(server: Process) -> bytes:
    results = cast("asyncio.StreamReader", server.stdout)
    size = int.from_bytes(await results.readexactly(8))
    return await results.readexactly(size)


def _to_answer(result: Any) -> Answer:
    document, letter = result
    if letter is None:
        return Answer(document)
    body, reason, error = letter
    return Answer(document, DeadLetter(body.encode("latin-1"), reason, error))


def _from_answer(answer: Answer) -> Any:
    letter = answer.dead_letter
    if letter is None:
        return [answer.document, None]
    return [answer.document, [letter.body.decode("latin-1"), letter.reason, letter.error]]


# --- the fork server ------------------------------------------------------------------------


def main() -> None:
    """Serve requests until standard input ends."""
    # The worker ends this process. A signal to all processes must not look like a deadly command.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    settings = read_settings(Settings)
    requests, results = os.dup(0), os.dup(1)
    os.dup2(2, 1)  # whatever prints must not break the frames
    _write(results, _frame(READY))
    while request := _read_request(requests):
        _write(results, _frame(_attempt(request, settings, requests)))


def _read_request(requests: int) -> bytes:
    size = int.from_bytes(_read(requests, 8))
    return _read(requests, size)


def _read(descriptor: int, size: int) -> bytes:
    """Read `size` bytes, or fewer where the input ends."""
    data = b""
    while len(data) < size and (more := os.read(descriptor, size - len(data))):
        data += more
    return data


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _attempt(request: bytes, settings: Settings, requests: int) -> bytes:
    """Execute a request in a fork. Return its result, or nothing where it died."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            asyncio.run(_execute(request, settings, writer))
        except BaseException:
            logger.exception("a request of the worker failed")
            os._exit(1)
        os._exit(0)
    os.close(writer)
    try:
        return _result(reader, requests)
    finally:
        os.close(reader)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _result(reader: int, requests: int) -> bytes:
    """Return what the fork answers, or nothing where it died. Exits where the worker has gone."""
    data = b""
    while True:
        ready, _, _ = select.select([reader, requests], [], [], SILENCE_SECONDS)
        if requests in ready:  # the worker sends nothing while it waits: this is the end
            raise SystemExit
        more = os.read(reader, 65_536) if ready else b""
        if not more:
            return b""
        data = (data + more).lstrip(b"\n")  # heartbeats
        if data.endswith(END):
            return data[: -len(END)]


async def _execute(request: bytes, settings: Settings, writer: int) -> None:
    beating = asyncio.create_task(_send_heartbeats(writer))
    operation, texts = json.loads(request)
    bodies = [text.encode("latin-1") for text in texts]
    result: Any
    if operation == "split":
        result = [part.decode("latin-1") for part in split_message(bodies[0])]
    else:
        result = await _decide_or_refuse(operation, bodies, settings)
    beating.cancel()
    _write(writer, json.dumps([result, read_counts()]).encode() + END)


async def _decide_or_refuse(operation: str, bodies: list[bytes], settings: Settings) -> Any:
    engine = create_engine(settings.database_url, CONNECTIONS)
    committer, _ = create_committer(engine, settings.rules)
    committer.start()
    try:
        if operation == "decide":
            messages = await decide_messages(committer.submit, bodies)
            return [[_from_answer(answer) for answer in answers] for answers in messages]
        refuse = refuse_message if operation == "refuse" else refuse_unread_message
        return [_from_answer(one) for one in await refuse(committer.refuse, bodies[0])]
    finally:
        await committer.stop()
        await engine.dispose()


async def _send_heartbeats(writer: int) -> None:
    while True:
        try:
            os.write(writer, b"\n")
        except OSError:  # the fork server has gone
            os._exit(1)
        await asyncio.sleep(HEARTBEAT_SECONDS)


if __name__ == "__main__":
    main()
