"""A server that belongs to one process: it can be killed, and restarted with its data."""

from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

from dev.addresses import free_port
from dev.processes.process import Process


class PrivateServer(ABC):
    """Listens on a free port of the loopback interface; a context manager from start to stop."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: Process | None = None

    @property
    def pid(self) -> int:
        """The process from which all processes of the server descend."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    @abstractmethod
    def url(self) -> str:
        """The URL with user and password."""

    @abstractmethod
    def start(self) -> None:
        """Start, and return when the server accepts connections. Raises `Unavailable`."""

    @abstractmethod
    def stop(self) -> None:
        """Stop in order."""

    def kill(self) -> None:
        """Send SIGKILL to the server and all its descendants, as in a power failure."""
        if self._process:
            self._process.kill()

    def restart(self) -> None:
        """Start again on the same port and data, whether it was killed or still runs."""
        if self._process:
            self._process.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
