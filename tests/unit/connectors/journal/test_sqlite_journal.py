"""The SQLite journal passes the shipped checks."""

from pathlib import Path

import pytest

from connectors.journal.sqlite import SqliteJournal
from contracts.checks import journal


@pytest.mark.parametrize("check", journal.CHECKS)
def test_checks(check: journal.Check, tmp_path: Path) -> None:
    check(lambda: SqliteJournal(tmp_path / "data" / "journal.sqlite"))
