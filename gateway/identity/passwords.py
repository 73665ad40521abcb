"""Hashes and checks passwords with argon2id, in a few threads and behind a bounded line."""

import asyncio
import hmac
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import Type, hash_secret, verify_secret

from gateway.http.problems import ProblemError

# The parameters that OWASP recommends for argon2id: about 56 ms on one core.
MEMORY_KIB = 19_456
ITERATIONS = 2
PARALLELISM = 1
HASH_BYTES = 32
SALT_BYTES = 16

THREADS = 2
MAX_WAITING = 256
"""Whoever comes while so many wait is told to come again: about 7 seconds of work."""
MAX_NEW_WAITING = 64
"""Of these, those of newcomers, of whom anybody can make any number: they keep nobody who has an
account from logging in."""

DUMMY_HASH = f"$argon2id$v=19$m={MEMORY_KIB},t={ITERATIONS},p={PARALLELISM}${'A' * 22}${'A' * 43}"
"""No password's hash: checking one against it takes as long as against a real one."""

Answer = TypeVar("Answer")


class Passwords:
    def __init__(self, secret: str) -> None:
        self._salt_key = hmac.digest(secret.encode(), b"holdfast password salt", "sha256")
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._waiting = self._new_waiting = 0

    async def hash(self, password: str, command_id: str) -> str:
        """Return the hash of `password`; the same under the same command ID.

        The salt is made from the command ID and a secret, so that the retry of a registration
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
        """Tell whether the password is right; without a hash it never is, and takes as long.

        Raises the problem `overloaded`.
        """
        matches = await self._in_thread(lambda: _matches(password, password_hash or DUMMY_HASH))
        return matches and password_hash is not None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[[], Answer]) -> Answer:
        if self._waiting >= MAX_WAITING:
            raise ProblemError("overloaded")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._waiting -= 1


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
        return verify_secret(password_hash.encode(), password.encode(), Type.ID)
    except (VerificationError, InvalidHashError):
        return False
