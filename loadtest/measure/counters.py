"""Counts commands sent, answered and granted, from the responses that clients got."""

from collections import Counter
from collections.abc import Sequence

from loadtest.measure.sales import Sales
from loadtest.workload import Request

MAX_EXAMPLES = 5


class Counters:
    """Counts, and a few examples of what went wrong: its size does not grow with the run."""

    def __init__(self, ticket_types: int) -> None:
        self.asked = 0
        """Commands sent, repeats included, each counted once however often it was tried."""
        self.answered = 0
        self.not_accepted = 0
        """Commands that the broker rejected: they have no outcome."""
        self.not_sent = 0
        """Commands that were due and not sent in time, because too many were in flight."""
        self.distinct = 0
        """Different commands that have an outcome."""
        self.succeeded = 0
        self.refusals: Counter[str] = Counter()
        self.repeats = 0
        self.tries_again = 0
        """How often a buyer retried because the outcome was unknown (503, a lost connection)."""
        self.first_expiry: str | None = None
        """When the first hold of the run expires, according to its outcome."""
        self.granted = [0] * ticket_types
        self.sales = Sales()
        self.faults: Counter[str] = Counter()
        """How often each fault occurred."""
        self.examples: list[str] = []

    @property
    def unanswered(self) -> int:
        return self.asked - self.answered - self.not_accepted

    def grant_all(self, reservations: Sequence[Request]) -> None:
        """Count new commands that all succeeded."""
        count = len(reservations)
        self.answered += count
        self.distinct += count
        self.succeeded += count
        granted = self.granted
        for reservation in reservations:
            for place in reservation.types:
                granted[place] += 1

    def enter(self, reservation: Request, refusal: str | None, answer: object) -> None:
        """Count an outcome: `refusal` is its code, None if it succeeded.

        The `answer` to a command that is sent twice is kept, and the two must be equal.
        """
        self.answered += 1
        if reservation.answer is not None:
            self.repeats += 1
            if reservation.answer != answer:
                self.fault(
                    "a repeat got another answer than its first",
                    f"{reservation.command_id}: {reservation.answer!r}, then {answer!r}",
                )
            reservation.answer = None
            return
        if reservation.sent_again:
            reservation.answer = answer
        self.distinct += 1
        if refusal is not None:
            self.refusals[refusal] += 1
            return
        self.succeeded += 1
        for place in reservation.types:
            self.granted[place] += 1

    def fault(self, what: str, example: str = "") -> None:
        """Count a fault."""
        self.faults[what] += 1
        if example and len(self.examples) < MAX_EXAMPLES:
            self.examples.append(example[:500])
