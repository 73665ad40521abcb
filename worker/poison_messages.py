"""Decides poison suspects, messages that may have ended workers, in a process that may die.

A redelivery count does not identify the message that ended a worker: all prefetched messages
share it. Suspects are therefore read and decided in an isolated process. If it dies, the suspects
are halved until one command is left. A command that ends its process each time is refused and
dead-lettered; if it does so while it is read, it is refused by its envelope alone. The worker
neither reads nor decides a suspect itself.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from shared.commands import Command
from shared.messages import Unreadable, UnreadCommand, read_unread
from shared.outcomes import encode_outcome, refused
from shared.refusals import Unprocessable
from shared.strict_json import split_array
from worker.messaging.reading import (
    Answer,
    DeadLetter,
    answer_entries,
    answer_unreadable,
    first_refused_id,
    read_entries,
)
from worker.storage.outcomes import EncodedOutcome
from worker.telemetry import ISOLATED_MESSAGES, ISOLATION_DEATHS

logger = logging.getLogger(__name__)

MIN_SUSPECT_REDELIVERIES = 5
"""A message with fewer redeliveries is decided with all others."""
MAX_TRIES_ALONE = 3
"""How often a command may end its process: a kill may come from elsewhere, e.g. an operator."""

DEADLY = Unprocessable("The command ended the process that handled it, each time.")

Submit = Callable[[Sequence[Command]], Awaitable[list[EncodedOutcome]]]
Refuse = Callable[[Command | UnreadCommand, Exception, Unprocessable], Awaitable[EncodedOutcome]]


class Isolation(Protocol):
    """A process that is replaced when it dies. Each method returns None where it has died."""

    async def decide(self, bodies: Sequence[bytes]) -> list[list[Answer]] | None:
        """Read and decide messages; return the answers to each."""

    async def refuse(self, body: bytes) -> list[Answer] | None:
        """Read a message, and refuse its commands undecided, as `DEADLY`."""

    async def refuse_unread(self, body: bytes) -> list[Answer] | None:
        """Read no more than the envelope of a command, and refuse it undecided, as `DEADLY`."""

    async def split(self, body: bytes) -> list[bytes] | None:
        """Return a message of its own for each entry of a message."""


class PoisonSuspects:
    """Decides suspects through an `Isolation`."""

    def __init__(self, isolation: Isolation) -> None:
        self._isolation = isolation

    async def decide(self, bodies: Sequence[bytes]) -> list[list[Answer]]:
        """Return the answers to each message. Raises nothing, however many processes die."""
        ISOLATED_MESSAGES.inc(len(bodies))
        return await self._decide(bodies)

    async def _decide(self, bodies: Sequence[bytes]) -> list[list[Answer]]:
        answers = await self._isolation.decide(bodies)
        if answers is not None:
            return answers
        ISOLATION_DEATHS.inc()
        if len(bodies) > 1:
            half = len(bodies) // 2
            return await self._decide(bodies[:half]) + await self._decide(bodies[half:])
        return [await self._decide_entries(bodies[0])]

    async def _decide_entries(self, body: bytes) -> list[Answer]:
        """Decide the halves of a message that ended its process as a whole."""
        entries = await self._isolation.split(body)
        if entries is None:
            return [_answer_unreadable_body(body)]
        if len(entries) < 2:
            return await self._decide_alone(body)
        half = len(entries) // 2
        halves = [_join(entries[:half]), _join(entries[half:])]
        return [answer for one in halves for answer in (await self._decide([one]))[0]]

    async def _decide_alone(self, body: bytes) -> list[Answer]:
        """Decide a command that ended its process once."""
        for _ in range(MAX_TRIES_ALONE - 1):
            answers = await self._isolation.decide([body])
            if answers is not None:
                return answers[0]
            ISOLATION_DEATHS.inc()
        logger.error("a command ended its process %d times and is refused", MAX_TRIES_ALONE)
        return (
            await self._isolation.refuse(body)
            or await self._isolation.refuse_unread(body)
            or [_answer_unreadable_body(body)]
        )


def _answer_unreadable_body(body: bytes) -> Answer:
    """Return the answer to a message that ends whatever process reads it."""
    outcome = refused(Unreadable(DEADLY.detail, body), DEADLY, decided_at=None)
    return Answer(encode_outcome(outcome), DeadLetter(body, "unreadable", DEADLY.detail))


# --- what runs in the isolated process ------------------------------------------------------


async def decide_messages(submit: Submit, bodies: Sequence[bytes]) -> list[list[Answer]]:
    """Read and decide messages; return the answers to each."""

    async def decide_one(body: bytes) -> list[Answer]:
        entries = read_entries(body)
        commands = [entry for entry in entries if not isinstance(entry, Unreadable)]
        return answer_entries(entries, await submit(commands) if commands else [])

    return list(await asyncio.gather(*map(decide_one, bodies)))


async def refuse_message(refuse: Refuse, body: bytes) -> list[Answer]:
    """Read a message and refuse its commands; a command with an outcome keeps it."""
    answers: list[Answer] = []
    for entry in read_entries(body):
        if isinstance(entry, Unreadable):
            answers.append(answer_unreadable(entry))
        else:
            outcome = await refuse(entry, _died(), DEADLY)
            answers += answer_entries([entry], [outcome])
    return answers


async def refuse_unread_message(refuse: Refuse, body: bytes) -> list[Answer]:
    """Refuse the only command of a message by its envelope.

    Without a whole envelope no outcome is recorded. Nor is one if the ID has an outcome: nothing
    tells whether that answers this command or another.
    """
    unread = read_unread(body)
    if unread is None or unread.command_id >= first_refused_id():
        return [_answer_unreadable_body(body)]
    outcome = await refuse(unread, _died(), DEADLY)
    if not outcome.dead_letter:
        return [_answer_unreadable_body(body)]
    return [Answer(outcome.document, DeadLetter(body, "unprocessable", outcome.document))]


def _died() -> RuntimeError:
    return RuntimeError(f"{MAX_TRIES_ALONE} processes died of it")


def split_message(body: bytes) -> list[bytes]:
    """Return a message of its own for each entry. A body that is not a JSON array is
    returned whole."""
    return [b"[%b]" % entry for entry in split_array(body) or ()] or [body]


def _join(messages: Sequence[bytes]) -> bytes:
    """Return one message of the entries of several."""
    return b"[" + b",".join(message[1:-1] for message in messages) + b"]"
