"""Bounds how many wrong passwords are checked, so that passwords cannot be guessed quickly.

Wrong passwords are counted in the memory of this process: for an account at an address, for an
address, and for an account over all addresses. The last bound has a longer window and does not
apply to addresses from which the account has logged in, so that a stranger's guesses do not lock
out the owner.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from hashlib import blake2b
from time import monotonic
from typing import NamedTuple

from gateway.http.problems import ProblemError

WINDOW_SECONDS = 60
"""How long a wrong password counts for its address."""
MAX_WRONG_PER_ACCOUNT_AND_ADDRESS = 5
ACCOUNT_WINDOW_SECONDS = 600
"""How long a wrong password counts for its account over all addresses."""
MAX_WRONG_PER_ACCOUNT = 30
MAX_COUNTERS = 100_000
"""More than can be used: each check takes 50 ms of a thread and adds three counters, and there are
two threads."""
MAX_KNOWN_DEVICES = 100_000
KNOWN_DEVICE_SECONDS = 30 * 86_400
"""How long an address counts as the account's after its last log-in from there."""
WRONG_PASSWORD_CODES = ("invalid_credentials", "command_id_reused")
"""The problems that reveal that a password is wrong."""
MAX_WAITING = 256
"""Attempts that may wait for checks in progress, whose results decide whether they may start."""


class _Bound(NamedTuple):
    key: bytes
    max_wrong: int
    window_seconds: int


class LoginThrottle:
    """Checks a password only while its account and its address have wrong attempts left."""

    def __init__(self, wrong_per_address: int, clock: Callable[[], float] = monotonic) -> None:
        self._wrong_per_address = wrong_per_address
        self._clock = clock
        self._counters: OrderedDict[bytes, _Counter] = OrderedDict()
        self._known_devices: OrderedDict[bytes, float] = OrderedDict()
        self._waiting = 0

    @asynccontextmanager
    async def attempt(self, account: str, address: str) -> AsyncIterator[None]:
        """Wrap the check of a password.

        A problem of `WRONG_PASSWORD_CODES` raised inside counts as a wrong password. `account`
        is the normal form of an e-mail address; it need not be registered. Raises
        `too_many_attempts`, for a right password too, because any other answer would confirm
        it; or `overloaded`.
        """
        async with AsyncExitStack() as stack:
            for bound in self._bounds(account, address):
                await stack.enter_async_context(self._counted(bound))
            yield

    def remember_device(self, account: str, address: str) -> None:
        """Exempt the account at this address from its bound over all addresses."""
        key = _digest("account at address", account, address)
        self._known_devices[key] = self._clock() + KNOWN_DEVICE_SECONDS
        self._known_devices.move_to_end(key)
        if len(self._known_devices) > MAX_KNOWN_DEVICES:
            self._known_devices.popitem(last=False)

    def _bounds(self, account: str, address: str) -> Iterator[_Bound]:
        device = _digest("account at address", account, address)
        yield _Bound(device, MAX_WRONG_PER_ACCOUNT_AND_ADDRESS, WINDOW_SECONDS)
        yield _Bound(_digest("address", address), self._wrong_per_address, WINDOW_SECONDS)
        if self._known_devices.get(device, 0) <= self._clock():
            yield _Bound(_digest("account", account), MAX_WRONG_PER_ACCOUNT, ACCOUNT_WINDOW_SECONDS)

    @asynccontextmanager
    async def _counted(self, bound: _Bound) -> AsyncIterator[None]:
        with self._counter(bound.key) as counter:
            await self._enter(counter, bound)
            try:
                yield
            except ProblemError as problem:
                if problem.code in WRONG_PASSWORD_CODES:
                    counter.wrong_at.append(self._clock())
                raise
            finally:
                counter.leave()

    async def _enter(self, counter: "_Counter", bound: _Bound) -> None:
        """Wait while the checks in progress could use up the bound if all of them fail."""
        while True:
            now = self._clock()
            counter.forget_before(now - bound.window_seconds)
            if len(counter.wrong_at) >= bound.max_wrong:
                free_in = counter.wrong_at[-bound.max_wrong] + bound.window_seconds - now
                retry_after = str(max(1, math.ceil(free_in)))
                raise ProblemError("too_many_attempts", headers={"Retry-After": retry_after})
            if len(counter.wrong_at) + counter.in_flight < bound.max_wrong:
                counter.in_flight += 1
                return
            if self._waiting >= MAX_WAITING:
                raise ProblemError("overloaded")
            self._waiting += 1
            try:
                await counter.changed.wait()
            finally:
                self._waiting -= 1

    @contextmanager
    def _counter(self, key: bytes) -> Iterator["_Counter"]:
        """Return the counter of this key, which is dropped afterwards if it counts nothing."""
        counter = self._counters.setdefault(key, _Counter())
        self._counters.move_to_end(key)
        if len(self._counters) > MAX_COUNTERS:
            self._counters.popitem(last=False)
        counter.users += 1
        try:
            yield counter
        finally:
            counter.users -= 1
            if not counter.wrong_at and not counter.users:
                self._counters.pop(key, None)


class _Counter:
    """The recent wrong passwords of one bound, and its checks in progress."""

    __slots__ = ("changed", "in_flight", "users", "wrong_at")

    def __init__(self) -> None:
        self.wrong_at: list[float] = []
        self.users = 0
        """The attempts that hold this counter: those in progress and those that wait."""
        self.in_flight = 0
        self.changed = asyncio.Event()

    def forget_before(self, time: float) -> None:
        self.wrong_at = [at for at in self.wrong_at if at > time]

    def leave(self) -> None:
        self.in_flight -= 1
        # Wakes the attempts that wait now; later ones wait for the next change.
        self.changed.set()
        self.changed = asyncio.Event()


def _digest(kind: str, *names: str) -> bytes:
    """Return a key of fixed length, so that memory holds no e-mail address."""
    # Quoted, so that different names never give the same text.
    return blake2b(repr((kind, *names)).encode(), digest_size=16).digest()
