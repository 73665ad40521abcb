"""Where the servers we start keep their data: for one run, or from one `make up` to the next."""

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

from dev.processes import REPOSITORY, Account

PASSWORD_BYTES = 24
LASTING_TEMPORARY = "/var/tmp"  # noqa: S108 (mkdtemp makes a folder of ours there)
OPEN_ON_THE_WAY = 0o711
"""Lets the unprivileged user through to its own folder below."""


@dataclass(frozen=True)
class Home:
    folder: Path
    lasting: bool

    @property
    def password(self) -> str:
        """The password of every server that lives here, made when first asked for."""
        file = self.folder / "password"
        if not file.exists():
            file.touch(mode=0o600)
            file.write_text(secrets.token_urlsafe(PASSWORD_BYTES))
        return file.read_text()

    @property
    def name(self) -> str:
        """A name for what Docker keeps on behalf of this home: another home is another name."""
        return (
            "holdfast-"
            + hashlib.sha256(str(self.folder).encode() + self.password.encode()).hexdigest()[:8]
        )


MakeHome = Callable[[], Home]
"""Made when first asked for: a server that is merely found needs no home."""


def lasting_home() -> Home:
    """Data that `make up` finds again next time, in `.holdfast`.

    For root a link out of the repository: its Postgres runs as another user, who may not get in.
    """
    folder = REPOSITORY / ".holdfast"
    if os.geteuid() == 0 and not folder.exists():
        folder.unlink(missing_ok=True)  # a link to a folder that was removed
        folder.symlink_to(tempfile.mkdtemp(prefix="holdfast-", dir=LASTING_TEMPORARY))
    folder.mkdir(exist_ok=True)
    folder.chmod(OPEN_ON_THE_WAY)
    return Home(folder.resolve(), lasting=True)


@contextmanager
def passing_home() -> Iterator[Home]:
    """Data that is not needed after this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-"))
    folder.chmod(OPEN_ON_THE_WAY)
    try:
        yield Home(folder, lasting=False)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def unprivileged_account() -> Account | None:
    """Whom root lets run a server that refuses to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            user = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(user.pw_uid, user.pw_gid)
    raise PermissionError("root needs a user `nobody` to run Postgres as")
