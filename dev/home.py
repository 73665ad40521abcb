"""The folder of our servers' data: for one run, or from one `make up` to the next."""

import hashlib
import os
import pwd
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dev.processes.process import REPOSITORY, Account

PASSWORD_BYTES = 24
LASTING_TEMPORARY = "/var/tmp"  # noqa: S108 (mkdtemp creates a private folder there)
TRAVERSABLE = 0o711
"""Lets the unprivileged user reach its own folder below."""


@dataclass(frozen=True)
class Home:
    folder: Path
    lasting: bool

    @property
    def password(self) -> str:
        """The password of all servers in this folder, created at first use."""
        file = self.folder / "password"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(PASSWORD_BYTES))
        return file.read_text()

    @property
    def name(self) -> str:
        """A prefix, unique to this home, for the names of Docker containers and volumes."""
        return (
            "holdfast-"
            + hashlib.sha256(str(self.folder).encode() + self.password.encode()).hexdigest()[:8]
        )


MakeHome = Callable[[], Home]
"""Creates the home at first use: a server that is only found needs none."""


def lasting_home() -> Home:
    """Return the home of `make up` in `.holdfast`, whose data is kept for the next time.

    For root it is a link to a folder elsewhere: root's Postgres runs as another user, which may not
    be able to enter the repository.
    """
    folder = REPOSITORY / ".holdfast"
    if os.geteuid() == 0 and not folder.exists():
        folder.unlink(missing_ok=True)  # a link to a folder that was removed
        folder.symlink_to(tempfile.mkdtemp(prefix="holdfast-", dir=LASTING_TEMPORARY))
    folder.mkdir(exist_ok=True)
    folder.chmod(TRAVERSABLE)
    return Home(folder.resolve(), lasting=True)


@contextmanager
def temporary_home() -> Iterator[Home]:
    """Create a home that is removed at the end of the context."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
    folder.chmod(TRAVERSABLE)
    try:
        yield Home(folder, lasting=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged_account() -> Account | None:
    """Return the account for servers that refuse to run as root; None if this is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user.pw_uid, user.pw_gid)
    raise PermissionError("root needs a user `nobody` to run Postgres as")
