"""Hashes and checks passwords with argon2id, in a few threads behind a bounded queue.

A password is compared as RFC 8265 compares an OpaqueString, so that the keyboard that composes
an accented letter and the one that does not give the same password.
"""

import asyncio
import hmac
import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret, verify_secret

from gateway.http.problems import ProblemError
from shared.fields import is_affordable_hash

# The parameters that OWASP recommends for argon2id: about 56 ms on one core.
MEMORY_KIB = 19_456
ITERATIONS = 2
PARALLELISM = 1
HASH_BYTES = 32
SALT_BYTES = 16

THREADS = 2
MAX_WAITING = 256
"""Passwords being hashed or waiting, about 7 seconds of work; more are refused as `overloaded`."""
MAX_NEW_WAITING = 64
"""How many of them may be registrations, which any client can send: room is left for log-ins."""

DUMMY_HASH = f"$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={PARALLELISM}${'A' * 22}${'A' * 43}"
"""No password has this hash: a check against it takes as long as against a real one."""

_NOT_ALLOWED = {"Cc", "Cs", "Co", "Cn", "Zl", "Zp"}
"""Categories of control, private-use and unassigned characters, surrogates and line separators."""

ResultT = TypeVar("ResultT")


class Passwords:
    """Hashes and checks passwords without blocking the event loop."""

    def __init__(self, secret: str) -> None:
        self._salt_key = hmac.digest(secret.encode(), b"holdfast password salt", "sha256")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = self._new_waiting = 0

    async def hash(self, password: str, command_id: str) -> str:
        """Return the hash of a password in the form of `opaque_string`.

        The salt is derived from the command ID and a secret, so that the retry of a registration
        carries the same payload as the first attempt. Raises the problem `overloaded`.
        """
        salt = hmac.digest(self._salt_key, command_id.encode(), "sha256")[:SALT_BYTES]
        if self._new_waiting >= MAX_NEW_WAITING:
            raise ProblemError("overloaded")
        self._new_waiting += 1
        try:
            return await self._in_thread(lambda: _hash(password, salt))
        finally:
            self._new_waiting -= 1

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Return whether the password is right, in the same time for every result.

        Without a hash, or with one that is too expensive to check, it is wrong. Raises the problem
        `overloaded`.
        """
        affordable = password_hash is not None and is_affordable_hash(password_hash)
        checked_hash = password_hash if affordable and password_hash else DUMMY_HASH
        spellings = _spellings(password)
        matches = await self._in_thread(
            lambda: any(_matches(spelling, checked_hash) for spelling in spellings)
        )
        return matches and affordable

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], ResultT]) -> ResultT:
        if self._waiting >= MAX_WAITING:
            raise ProblemError("overloaded")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


def opaque_string(text: str) -> str:
    """Return a password in the one form in which passwords are compared.

    RFC 8265, section 4.2: all spaces become ASCII spaces, the text is in NFC, case is kept.
    Of the characters that it excludes, joiners and other format characters are allowed: emoji
    and several scripts need them. Raises `ValueError` for text with another excluded character.
    """
    spaced = "".join(" " if unicodedata.category(each) == "Zs" else each for each in text)
    composed = unicodedata.normalize("NFC", spaced)
    if any(unicodedata.category(each) in _NOT_ALLOWED for each in composed):
        raise ValueError("must not contain control, private or unassigned characters")
    return composed


def _spellings(password: str) -> list[str]:
    """Return the forms to check: the normal form, and for older hashes the password as typed.

    A password typed in its normal form, as nearly all are, is checked once.
    """
    try:
        return list(dict.fromkeys([opaque_string(password), password]))
    except ValueError:
        return [password]


def _hash(password: str, salt: bytes) -> str:
    return hash_secret(
        password.encode(),
        salt,
        time_cost=ITERATIONS,
        memory_cost=MEMORY_KIB,
        parallelism=PARALLELISM,
        hash_len=HASH_BYTES,
        type=Type.ID,
    ).decode()


def _matches(password: str, password_hash: str) -> bool:
    try:
        return verify_secret(
            password_hash.encode(), password.encode(errors="surrogatepass"), Type.ID
        )
    except (VerificationError, InvalidHashError):
        return False
