"""A small disk under one table of Postgres, which can be filled to the last byte.

It is a tmpfs, which only root may mount; elsewhere there is none, and no disk gets full.
"""

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import asyncpg

from dev.home import unprivileged_account

SIZE_BYTES = 384 << 20
MOUNT_SECONDS = 10.0
TABLESPACE = "small"


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    @classmethod
    def mounted(cls, stack: ExitStack, home: Path) -> Self | None:
        """Mount one until `stack` is closed; None where that is not allowed."""
        account = unprivileged_account()
        if account is None:
            return None
        folder = home / "disk"
        folder.mkdir()
        owner = f"uid={account.user_id},gid={account.group_id}"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},{owner}", "tmpfs", folder],
            capture_output=True,
            timeout=MOUNT_SECONDS,
            check=False,
        )
        if mounted.returncode != 0:
            return None
        # Lazily: whatever still runs there, the name goes at once and the memory with it.
        stack.callback(_unmount, folder)
        (folder / TABLESPACE).mkdir()
        os.chown(folder / TABLESPACE, account.user_id, account.group_id)
        return cls(folder)

    async def take(self, database_url: str, table: str, *indexes: str) -> None:
        """Move a table and its indexes here."""
        connection = await asyncpg.connect(database_url)
        try:
            location = self._folder / TABLESPACE
            await connection.execute(f"CREATE TABLESPACE {TABLESPACE} LOCATION '{location}'")
            await connection.execute(f"ALTER TABLE {table} SET TABLESPACE {TABLESPACE}")
            for index in indexes:
                await connection.execute(f"ALTER INDEX {index} SET TABLESPACE {TABLESPACE}")
        finally:
            await connection.close()

    def fill(self) -> None:
        free = os.statvfs(self._folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free.f_bavail * free.f_frsize)

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], timeout=MOUNT_SECONDS, check=False)
