"""A RabbitMQ node of one's own, on a free port, which may be killed and come back with its data."""

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.addresses import LOOPBACK, answers, free_port
from dev.home import Home
from dev.patience import wait_until, wait_while
from dev.processes import Process
from dev.search import Unavailable

USER = VHOST = "holdfast"
START_SECONDS = 120.0
KILL_SECONDS = 10.0
CONTROL_SECONDS = 60.0
NEEDED = "there is no `rabbitmq-server` to run: install RabbitMQ 3.10 or later."
# Debian's program in /usr/sbin changes the user; the one in /usr/lib/rabbitmq runs as who calls it.
PLACES = (
    "/usr/lib/rabbitmq/bin",
    *os.get_exec_path(),
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/sbin",
)


class PrivateRabbit:
    """Apart from every other node: its own ports, folder, cookie and port mapper (epmd).

    Leave it three seconds between declaring a quorum queue and `kill`: RabbitMQ 3.10 registers the
    queue only a moment later, and one that it forgot never answers again.
    """

    def __init__(self, home: Home) -> None:
        self.port = free_port()
        self._password = home.password
        self._folder = home.folder / "rabbitmq"
        program = server_program()
        if program is None:
            raise Unavailable(NEEDED)
        self._program = program
        self._mapper_port, self._distribution_port = free_port(), free_port()
        self._mapper: Process | None = None
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self._password}@{LOOPBACK}:{self.port}/{VHOST}"

    @property
    def pid(self) -> int:
        """Of the process that the Erlang VM descends from, or is."""
        assert self._process is not None, "not started"
        return self._process.pid

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this node and return what it says. Raises `SubprocessError`."""
        program = Path(self._program).with_name("rabbitmqctl")
        return subprocess.run(
            [program, "--quiet", *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            text=True,
            timeout=CONTROL_SECONDS,
        ).stdout

    def start(self) -> None:
        environment = self._environment()
        if (mapper := shutil.which("epmd")) and not (self._mapper and self._mapper.running):
            # The server would start one that outlives it.
            self._mapper = Process([mapper], environment=environment)
        with (self._folder / "output").open("ab") as output:
            process = Process(
                [self._program], environment=environment, folder=self._folder, output=output
            )
        self._process = process
        wait_until(
            lambda: answers(LOOPBACK, self.port),
            process,
            START_SECONDS,
            f"RabbitMQ did not start; see {self._folder}",
        )

    def kill(self) -> None:
        """SIGKILL to the whole Erlang VM, as when the machine loses power."""
        if self._process:
            self._process.kill()
            # The process is gone before the last thread of the VM lets go of its port.
            wait_while(
                lambda: "it still listens" if answers(LOOPBACK, self.port) else None,
                KILL_SECONDS,
                "RabbitMQ was killed",
            )

    def restart(self) -> None:
        """Starts again on the same port and data, whether it was killed or still runs."""
        if self._process:
            self._process.stop()
        self.start()

    def stop(self) -> None:
        for each in (self._process, self._mapper):
            if each:
                each.stop()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _environment(self) -> dict[str, str]:
        folder = self._folder
        folder.mkdir(mode=0o700, exist_ok=True)
        plugins, settings = folder / "enabled_plugins", folder / "rabbitmq.conf"
        plugins.write_text("[].\n")
        settings.touch(mode=0o600)
        settings.write_text(
            f"listeners.tcp.default = {LOOPBACK}:{self.port}\n"
            f"default_user = {USER}\n"
            f"default_pass = {self._password}\n"
            f"default_vhost = {VHOST}\n"
        )
        return {
            **{
                name: value
                for name, value in os.environ.items()
                if not name.startswith(("RABBITMQ_", "ERL_"))
            },
            "HOME": str(folder),  # for the Erlang cookie
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "ERL_EPMD_PORT": str(self._mapper_port),
            "RABBITMQ_NODENAME": "holdfast@localhost",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": str(folder / "data"),
            "RABBITMQ_LOG_BASE": str(folder / "log"),
            "RABBITMQ_PID_FILE": str(folder / "pid"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(plugins),
            "RABBITMQ_CONFIG_FILE": str(settings),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
        }


def server_program() -> str | None:
    return shutil.which("rabbitmq-server", path=os.pathsep.join(PLACES))
