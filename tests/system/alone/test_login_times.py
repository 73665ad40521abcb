"""How long a refused log-in takes tells nothing of the account."""

import statistics
import time
from collections.abc import Callable

from tests.system.clients import Site, fresh_email, refused
from tests.system.guessers import Guesser

MAX_DIFFERENCE_SECONDS = 0.010
SAMPLES = 8
MAX_ROUNDS = 5
"""Fewer than the wrong passwords that an account has."""


async def test_a_wrong_password_and_an_unknown_address_take_as_long(
    small_site: Site, guessers: Callable[[str], Guesser]
) -> None:
    """Median times, taken in turn; each guess has its own address and its own account.

    On a busy machine a round may show a difference that is none; a real one shows in all.
    """
    known = [(await small_site.newcomer()).email for _ in range(SAMPLES)]
    differences = []
    for number in range(MAX_ROUNDS):
        took: dict[bool, list[float]] = {True: [], False: []}
        for sample in range(SAMPLES):
            for exists in (True, False):
                guesser = guessers(f"127.1.{10 + 2 * number + exists}.{sample + 1}")
                await guesser.http.get(guesser.url)  # connects
                started = time.perf_counter()
                email = known[sample] if exists else fresh_email()
                answer = await guesser.log_in(email, "not the password")
                took[exists].append(time.perf_counter() - started)
                refused(answer, 401, "invalid_credentials")
        differences.append(statistics.median(took[True]) - statistics.median(took[False]))
        if abs(differences[-1]) < MAX_DIFFERENCE_SECONDS:
            return
    raise AssertionError(differences)
