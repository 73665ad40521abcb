"""Small disks under Postgres, which can be filled to the last byte.

One lies under a table, one under the write-ahead log. They are tmpfs, which only root may mount;
elsewhere there is none, and no disk gets full.
"""

import asyncio
import os
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Self

import asyncpg

from dev.home import unprivileged_account
from dev.servers.private_postgres import PrivatePostgres

SIZE_BYTES = 384 << 20
MOUNT_SECONDS = 10.0
TABLESPACE = "small"
WAL_SETTINGS = {"max_wal_size": "128MB", "min_wal_size": "32MB", "wal_recycle": "off"}
"""So that a round fits in, and no segments lie ready that would be used when the disk is full."""


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ballast = folder / "ballast"

    @classmethod
    def mounted(cls, stack: ExitStack, folder: Path) -> Self | None:
        """Mount one until `stack` is closed; None where that is not allowed."""
        account = unprivileged_account()
        if account is None:
            return None
        folder.mkdir()
        owner = f"uid={account.user_id},gid={account.group_id},mode=0700"
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={SIZE_BYTES},{owner}", "tmpfs", folder],
            capture_output=True,
            timeout=MOUNT_SECONDS,
            check=False,
        )
        if mounted.returncode != 0:
            return None
        # Lazily: the name is removed at once, even if a process still uses the file system.
        stack.callback(_unmount, folder)
        return cls(folder)

    async def take_table(self, database_url: str, table: str, *indexes: str) -> None:
        """Move a table and its indexes here."""
        location = self._place(TABLESPACE)
        connection = await asyncpg.connect(database_url)
        try:
            await connection.execute(f"CREATE TABLESPACE {TABLESPACE} LOCATION '{location}'")
            await connection.execute(f"ALTER TABLE {table} SET TABLESPACE {TABLESPACE}")
            for index in indexes:
                await connection.execute(f"ALTER INDEX {index} SET TABLESPACE {TABLESPACE}")
        finally:
            await connection.close()

    async def take_wal(self, postgres: PrivatePostgres) -> None:
        """Move the write-ahead log here: Postgres is stopped and started for it."""
        connection = await asyncpg.connect(postgres.url)
        try:
            data = Path(await connection.fetchval("SHOW data_directory"))
            for name, value in WAL_SETTINGS.items():
                await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        finally:
            await connection.close()
        await asyncio.to_thread(self._take_wal, postgres, data / "pg_wal")

    def _take_wal(self, postgres: PrivatePostgres, wal: Path) -> None:
        postgres.stop()
        # Not by shutil, which does not keep the owner.
        subprocess.run(["mv", wal, self._folder], timeout=MOUNT_SECONDS, check=True)
        wal.symlink_to(self._folder / wal.name)
        postgres.start()

    def fill(self) -> None:
        with self._ballast.open("wb") as file:
            while free_bytes := self._free_bytes():
                # Another process may use the last space meanwhile: it is full in any case.
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), self._ballast.stat().st_size, free_bytes)

    def empty(self) -> None:
        self._ballast.unlink(missing_ok=True)

    def _free_bytes(self) -> int:
        free = os.statvfs(self._folder)
        return free.f_bavail * free.f_frsize

    def _place(self, name: str) -> Path:
        """Make a folder that Postgres may write to."""
        place = self._folder / name
        place.mkdir(mode=0o700)
        owner = self._folder.stat()
        os.chown(place, owner.st_uid, owner.st_gid)
        return place


def _unmount(folder: Path) -> None:
    subprocess.run(["umount", "--lazy", folder], timeout=MOUNT_SECONDS, check=False)
