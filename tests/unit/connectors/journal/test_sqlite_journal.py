"""The SQLite journal passes the shipped checks, and waits for the disk where nobody else does."""

import asyncio
import threading
from pathlib import Path

import pytest

from connectors.journal.sqlite import SqliteJournal
from contracts.checks import journal, journal_takeovers
from contracts.errors import Retryable
from contracts.ports import StepEntry
from contracts.verdicts import StepPhase
from tests.patience import PATIENCE_S


@pytest.mark.parametrize("check", journal.CHECKS)
def test_checks(check: journal.Check, tmp_path: Path) -> None:
    check(lambda: SqliteJournal(tmp_path / "data" / "journal.sqlite"))


@pytest.mark.parametrize("check", [*journal_takeovers.TAKEOVERS, *journal_takeovers.FENCING])
async def test_takeovers(check: journal_takeovers.Takeover, tmp_path: Path) -> None:
    async def taking() -> SqliteJournal:
        return SqliteJournal(tmp_path / "journal.sqlite")

    await check(taking)


async def test_a_disk_that_hangs_holds_up_who_settles_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on, writes go on; nothing is said to be durable, so no effect follows."""
    hangs = threading.Event()
    file = SqliteJournal(tmp_path / "journal.sqlite")
    monkeypatch.setattr("connectors.sqlite_file.os.fsync", lambda _: hangs.wait(PATIENCE_S))
    try:
        entry = journal.create(file, 1)
        assert entry is not None
        settling = asyncio.create_task(file.settled("e", 60))
        for n in range(20):
            file.step(StepEntry("r1", "s", StepPhase.INTENT, f"k{n}", n), entry.fence)
            await asyncio.sleep(0)
        assert not settling.done()
        with pytest.raises(Retryable) as caught:
            await file.settled("e", 0.01)
        assert caught.value.reason == "store_unavailable"
    finally:
        hangs.set()
    await settling
    await file.settled("e", 60)
    file.close()
