"""Stops the guessing of passwords: after a few wrong ones, none is checked for a while.

For each account and for each address, in the memory of this process. What an account or an
address did wrong is forgotten after a minute, so nobody is locked out for longer.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from hashlib import blake2b
from time import monotonic

from gateway.http.problems import ProblemError

WINDOW_SECONDS = 60
MAX_WRONG_PER_ACCOUNT = 5
MAX_SUSPECTS = 50_000
"""Accounts and addresses that are remembered. More wrong passwords than that cannot be checked
within the window: each takes 50 ms."""
WRONG_PASSWORD = ("invalid_credentials", "command_id_reused")
"""What tells a guesser that a password is wrong."""
MAX_WAITING = 256
"""Logins that may wait until it is known whether others' passwords are wrong."""


class LoginThrottle:
    """Lets so many passwords be checked that at most a few can turn out wrong."""

    def __init__(self, wrong_per_address: int, clock: Callable[[], float] = monotonic) -> None:
        self._wrong_per_address = wrong_per_address
        self._clock = clock
        self._suspects: OrderedDict[bytes, _Suspect] = OrderedDict()
        self._waiting = 0

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Surround the check of a password; a problem of `WRONG_PASSWORD` raised inside is counted.

        Whether there is such an account plays no part. Raises `too_many_attempts`, also before
        a right password, which would tell that it is right; or `overloaded`.
        """
        async with AsyncExitStack() as stack:
            for kind, name, most in (
                ("account", account.lower(), MAX_WRONG_PER_ACCOUNT),
                ("address", address, self._wrong_per_address),
            ):
                await stack.enter_async_context(self._checking(kind, name, most))
            yield

    @asynccontextmanager
    async def _checking(self, kind: str, name: str, most: int) -> AsyncIterator[None]:
        # A digest: no e-mail address is kept, and none is longer than others.
        key = blake2b(f"{kind} {name}".encode(), digest_size=16).digest()
        with self._remembered(key) as suspect:
            await self._turn_of(suspect, most)
            try:
                yield
            except ProblemError as problem:
                if problem.code in WRONG_PASSWORD:
                    suspect.wrong_at.append(self._clock())
                raise
            finally:
                suspect.leave()

    async def _turn_of(self, suspect: "_Suspect", most: int) -> None:
        """Wait while those under way might use up what is left: they may all be wrong."""
        while True:
            suspect.forget_before(self._clock() - WINDOW_SECONDS)
            if len(suspect.wrong_at) >= most:
                free_in = suspect.wrong_at[-most] + WINDOW_SECONDS - self._clock()
                retry_after = str(max(1, math.ceil(free_in)))
                raise ProblemError("too_many_attempts", headers={"Retry-After": retry_after})
            if len(suspect.wrong_at) + suspect.under_way < most:
                suspect.under_way += 1
                return
            if self._waiting >= MAX_WAITING:
                raise ProblemError("overloaded")
            self._waiting += 1
            try:
                await suspect.changed.wait()
            finally:
                self._waiting -= 1

    @contextmanager
    def _remembered(self, key: bytes) -> Iterator["_Suspect"]:
        """Give the suspect of this key, who is forgotten at once where nothing was wrong."""
        suspect = self._suspects.setdefault(key, _Suspect())
        self._suspects.move_to_end(key)
        if len(self._suspects) > MAX_SUSPECTS:
            self._suspects.popitem(last=False)
        suspect.attempts += 1
        try:
            yield suspect
        finally:
            suspect.attempts -= 1
            if not suspect.wrong_at and not suspect.attempts:
                self._suspects.pop(key, None)


class _Suspect:
    """An account or an address: when it was wrong, and how many of its checks are under way."""

    __slots__ = ("attempts", "changed", "under_way", "wrong_at")

    def __init__(self) -> None:
        self.wrong_at: list[float] = []
        self.attempts = 0
        """Those that wait included."""
        self.under_way = 0
        self.changed = asyncio.Event()

    def forget_before(self, time: float) -> None:
        self.wrong_at = [at for at in self.wrong_at if at > time]

    def leave(self) -> None:
        self.under_way -= 1
        # Wakes all who wait now, and none of those who come later.
        self.changed.set()
        self.changed = asyncio.Event()
