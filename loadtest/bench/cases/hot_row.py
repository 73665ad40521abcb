"""The limit of one transaction for each reservation: lock, update and commit one row."""

import asyncio
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from loadtest.queue.client import PreparationError

CLIENTS = 16
THREADS = 2
TIMEOUT_SECONDS = 30.0
"""How long pgbench may take beyond its measured time."""

PREPARE = """
    CREATE SCHEMA IF NOT EXISTS bench;
    DROP TABLE IF EXISTS bench.hot_row;
    CREATE TABLE bench.hot_row (id integer PRIMARY KEY, reserved bigint NOT NULL)
        WITH (fillfactor = 50);
    INSERT INTO bench.hot_row VALUES (1, 0);
"""
LOCK = "SELECT reserved FROM bench.hot_row WHERE id = 1 FOR UPDATE"
UPDATE = "UPDATE bench.hot_row SET reserved = reserved + 1 WHERE id = 1"
SCRIPT = f"BEGIN;\n{LOCK};\n{UPDATE};\nCOMMIT;\n"


@dataclass(frozen=True, slots=True)
class HotRow:
    rate: float
    measured_with: str


async def measure_hot_row(database_url: str, seconds: float) -> HotRow:
    """Return the transactions a second with 16 clients. Raises `PreparationError`."""
    connection = await asyncpg.connect(database_url, timeout=10)
    try:
        await connection.execute(PREPARE)
    finally:
        await connection.close()
    if shutil.which("pgbench") is None:
        return await _with_asyncpg(database_url, seconds)
    return await _with_pgbench(database_url, seconds)


async def _with_pgbench(database_url: str, seconds: float) -> HotRow:
    with TemporaryDirectory(prefix="holdfast-bench-") as folder:
        script = Path(folder) / "hot_row.sql"
        script.write_text(SCRIPT)
        options = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-j", str(THREADS)]
        options += ["-T", str(max(1, round(seconds))), "-f", str(script)]
        process = await asyncio.create_subprocess_exec(
            "pgbench",
            *options,
            database_url,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(seconds + TIMEOUT_SECONDS):
                output = (await process.communicate())[0].decode()
        except TimeoutError:
            process.kill()
            raise PreparationError("pgbench did not end in time.") from None
    rate = re.search(r"^tps = ([\d.]+)", output, re.MULTILINE)
    if process.returncode or rate is None:
        raise PreparationError(f"pgbench failed: {output[-500:]}")
    return HotRow(float(rate[1]), "pgbench")


async def _with_asyncpg(database_url: str, seconds: float) -> HotRow:
    """Do the same from here, where pgbench is not installed; it costs more for each."""
    ends_at = time.monotonic() + seconds
    counts = await asyncio.gather(*(_client(database_url, ends_at) for _ in range(CLIENTS)))
    return HotRow(sum(counts) / seconds, "asyncpg, for pgbench is not installed")


async def _client(database_url: str, ends_at: float) -> int:
    connection = await asyncpg.connect(database_url, timeout=10, command_timeout=TIMEOUT_SECONDS)
    try:
        lock, update = await connection.prepare(LOCK), await connection.prepare(UPDATE)
        done = 0
        while time.monotonic() < ends_at:
            async with connection.transaction():
                await lock.fetch()
                await update.fetch()
            done += 1
        return done
    finally:
        await connection.close()
