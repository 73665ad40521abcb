"""A private RabbitMQ node on a free port, which can be killed and restarted with its data."""

import os
import shutil
import subprocess
from pathlib import Path

from dev.addresses import LOOPBACK, answers, free_port
from dev.home import Home
from dev.processes.process import Process
from dev.servers.discovery import Unavailable
from dev.servers.private_server import PrivateServer
from dev.waiting import wait_until, wait_while

USER = VHOST = "holdfast"
START_SECONDS = 120.0
KILL_SECONDS = 10.0
CONTROL_SECONDS = 60.0
NEEDED = "there is no `rabbitmq-server` to run: install RabbitMQ 3.10 or later."
# Debian's program in /usr/sbin changes the user; the one in /usr/lib/rabbitmq keeps the caller's.
PROGRAM_FOLDERS = (
    "/usr/lib/rabbitmq/bin",
    *os.get_exec_path(),
    "/usr/sbin",
    "/usr/local/sbin",
    "/opt/homebrew/sbin",
)


class PrivateRabbitMQ(PrivateServer):
    """Isolated from every other node: its own ports, folder, cookie and port mapper (epmd).

    Wait three seconds between declaring a quorum queue and `kill`: RabbitMQ 3.10 registers the
    queue with a delay, and a queue that was not registered never responds again.
    """

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._password = home.password
        self._folder = home.folder / "rabbitmq"
        program = server_program()
        if program is None:
            raise Unavailable(NEEDED)
        self._program = program
        self._mapper_port, self._distribution_port = free_port(), free_port()
        self._mapper: Process | None = None

    @property
    def url(self) -> str:
        return f"amqp://{USER}:{self._password}@{LOOPBACK}:{self.port}/{VHOST}"

    def control(self, *arguments: str) -> str:
        """Run `rabbitmqctl` on this node and return its output. Raises `SubprocessError`."""
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
            # Else the server starts one that outlives it.
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
        super().kill()
        if self._process:
            # The process ends before the last thread of the VM releases its port.
            wait_while(
                lambda: "its port is still in use" if answers(LOOPBACK, self.port) else None,
                KILL_SECONDS,
                "RabbitMQ was killed",
            )

    def last_log_lines(self, count: int) -> list[str]:
        logs = (self._folder / "log").glob("*.log")
        lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
        return sorted(line for line in lines if line.startswith("20"))[-count:]

    def stop(self) -> None:
        for each in (self._process, self._mapper):
            if each:
                each.stop()

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
    return shutil.which("rabbitmq-server", path=os.pathsep.join(PROGRAM_FOLDERS))
