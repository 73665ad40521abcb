"""The options of a run, from the command line or from the bench."""

from dataclasses import asdict, dataclass
from typing import Literal

from loadtest.workload import Workload

Mode = Literal["await", "poll"]
Setting = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """A run through the queue."""

    workload: Workload
    broker_url: str
    database_url: str | None = None
    commands_per_message: int = 100
    messages_in_flight: int = 20
    rate_per_second: float | None = None
    seconds: float = 20.0
    warm_up_seconds: float = 0.0

    def settings(self) -> dict[str, Setting]:
        """Return the options that may be shown: no URLs, which may contain a password."""
        return _shown(self)


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """A run over HTTP; each connection has one request in flight."""

    workload: Workload
    urls: tuple[str, ...]
    """The gateways, among which the buyers are divided."""
    broker_url: str | None = None
    database_url: str | None = None
    jwt_secret: str | None = None
    connections: int | None = None
    """The number of connections, which the buyers use in turn; None: one for each buyer."""
    mode: Mode = "await"
    poll_seconds: float = 0.1
    reads: bool = False
    rate_per_second: float | None = None
    seconds: float = 20.0
    warm_up_seconds: float = 0.0

    def settings(self) -> dict[str, Setting]:
        """Return the options that may be shown: no URLs, which may contain a password."""
        return _shown(self)


def _shown(options: QueueOptions | HttpOptions) -> dict[str, Setting]:
    fields = asdict(options)
    workload: dict[str, Setting] = fields.pop("workload")
    hidden = {"broker_url", "database_url", "jwt_secret", "urls"}
    return {name: value for name, value in fields.items() if name not in hidden} | workload
