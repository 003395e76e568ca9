"""The SQLite journal passes the shipped checks."""

from pathlib import Path

import pytest

from connectors.journal.sqlite import SqliteJournal
from contracts.checks import journal


@pytest.mark.parametrize("check", journal.CHECKS)
def test_checks(check: journal.Check, tmp_path: Path) -> None:
    check(lambda: SqliteJournal(tmp_path / "data" / "journal.sqlite"))


@pytest.mark.parametrize("check", [*journal.TAKEOVERS, *journal.FENCING])
async def test_takeovers(check: journal.Takeover, tmp_path: Path) -> None:
    async def taking() -> SqliteJournal:
        return SqliteJournal(tmp_path / "journal.sqlite")

    await check(taking)
