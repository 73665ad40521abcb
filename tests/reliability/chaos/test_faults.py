"""A fault that did not break what it was to break says so, and what it must not show is found."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from reliability.chaos.checks.record import Entry, PendingReply, Record
from reliability.chaos.faults.broker import LAST_TAKEN_SECONDS, wrong_answers
from reliability.chaos.faults.postgres import fill_disk, fill_wal_disk

SINCE, UNTIL = 100.0, 108.0
NEW = SINCE + LAST_TAKEN_SECONDS + 1
NO_SPACE = "ERROR:  could not extend file: No space left on device\n"
PANIC = "PANIC:  could not write to file: No space left on device\n"


def told(*answers: tuple[int, float, float]) -> list[str]:
    """Findings about answers that gateways gave: status, begun at, answered at."""
    record = Record()
    for status, begun_at, at in answers:
        entry = Entry("ann", "release_cart", {}, "http", began_at=begun_at)
        record.at_the_door.append(PendingReply(entry, status, at))
    return list(wrong_answers(record, SINCE, UNTIL))


def test_503_is_right_while_the_broker_takes_nothing() -> None:
    assert told((503, NEW, NEW + 3), (422, NEW, NEW)) == []


def test_somebody_has_to_be_told() -> None:
    assert len(told()) == 1
    assert len(told((503, NEW, SINCE - 1), (503, NEW, UNTIL + 1), (422, NEW, NEW))) == 1


@pytest.mark.parametrize("status", [200, 202])
def test_nothing_new_may_be_accepted(status: int) -> None:
    told_503 = (503, NEW, NEW + 3)
    assert len(told(told_503, (status, NEW, NEW + 1))) == 1
    assert told(told_503, (status, SINCE - 1, NEW)) == []
    assert told(told_503, (status, NEW, UNTIL + 0.1)) == []


class Disk:
    """Somebody writes to Postgres's log when it gets full."""

    def __init__(self, log: Path, words: str) -> None:
        self.is_full = False
        self._log = log
        self._words = words

    def fill(self) -> None:
        self.is_full = True
        with self._log.open("a") as log:
            log.write(self._words)

    def empty(self) -> None:
        self.is_full = False


class Database:
    async def nothing(self) -> None: ...

    switch_wal = deadlocks = nothing


@pytest.mark.parametrize(
    ("strike", "name", "words", "hit"),
    [
        (fill_disk, "disk", NO_SPACE, True),
        (fill_disk, "disk", "", False),
        (fill_wal_disk, "wal_disk", PANIC, True),
        (fill_wal_disk, "wal_disk", NO_SPACE, False),
        (fill_wal_disk, "wal_disk", "", False),
    ],
)
async def test_a_disk_is_full_once_postgres_has_said_so(
    strike: Any,
    name: str,
    words: str,
    hit: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name_of_wait in ("NOTICED_SECONDS", "SEGMENT_SECONDS"):
        monkeypatch.setattr(f"reliability.chaos.faults.postgres.{name_of_wait}", 0.05)
    monkeypatch.setattr("reliability.chaos.faults.postgres.FULL_SECONDS", 0)
    log = tmp_path / "log"
    log.write_text(NO_SPACE + PANIC)  # of another time
    disk = Disk(log, words)
    system = SimpleNamespace(postgres=SimpleNamespace(log=log), **{name: disk})
    assert await strike(SimpleNamespace(system=system, database=Database())) is hit
    assert not disk.is_full
