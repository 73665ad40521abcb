"""Remembers when refused clients may retry, to tell those that retry too early from all others."""

MAX_CLIENTS = 50_000
"""Clients that are remembered; beyond that, those that were refused least recently are forgotten.
At the highest rate of refusals this is ten seconds, twice the longest `Retry-After`."""


class RetryTimes:
    """For each refused client, the instant until which it was told to wait."""

    def __init__(self) -> None:
        self._retry_at: dict[str, float] = {}
        """In the order of the refusals."""

    def is_early(self, client: str, now: float) -> bool:
        """Return whether the client retries before the instant that its last refusal told."""
        return now < self._retry_at.get(client, now)

    def tell(self, client: str, retry_at: float) -> None:
        """Remember that the client is told to wait until `retry_at`."""
        self._retry_at.pop(client, None)
        self._retry_at[client] = retry_at
        if len(self._retry_at) > MAX_CLIENTS:
            del self._retry_at[next(iter(self._retry_at))]
