"""Installs a Debian package as root, without starting its service."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dev.progress import slowly
from dev.servers.discovery import Unavailable

INSTALL_SECONDS = 480.0
SERVICE_POLICY = Path("/usr/sbin/policy-rc.d")
DENY_SERVICES = "#!/bin/sh\nexit 101\n"


def can_install() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def install(package: str) -> None:
    quiet = ["apt-get", "-qq", "-o=Dpkg::Use-Pty=0"]
    with slowly(f"{package}: installing it with apt-get"), _services_denied():
        for command in (
            [*quiet, "update"],
            [*quiet, "install", "--yes", "--no-install-recommends", package],
        ):
            done = subprocess.run(
                command,
                env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALL_SECONDS,
                check=False,
            )
            if done.returncode != 0:
                message = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
                raise Unavailable(f"`{' '.join(command)}` failed: {' '.join(message)}")


@contextmanager
def _services_denied() -> Iterator[None]:
    """Deny services: Debian's packages ask this file whether they may start one."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path(folder) / "before"
        if SERVICE_POLICY.exists():
            shutil.copy2(SERVICE_POLICY, before)
        try:
            SERVICE_POLICY.write_text(DENY_SERVICES)
            SERVICE_POLICY.chmod(0o755)
            yield
        finally:
            if before.exists():
                shutil.copy2(before, SERVICE_POLICY)
            else:
                SERVICE_POLICY.unlink(missing_ok=True)
