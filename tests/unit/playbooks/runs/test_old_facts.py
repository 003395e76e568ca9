"""What an effect costs is what was done lately, however much the journal still holds of long ago."""

from __future__ import annotations

from itertools import count

import pytest

from connectors.journal.changes import Image
from connectors.journal.sqlite import SqliteJournal
from contracts.ports import RunEntry
from contracts.settings import ActSettings, BindingSettings
from contracts.units import SECOND
from contracts.verdicts import RunState
from playbooks.guards import HISTORY_S
from tests.unit.playbooks.runs.support import BOUND, T0, World, decision

OLD_NS = T0 - int(HISTORY_S * SECOND) - SECOND


def journal(old: int) -> SqliteJournal:
    """One with so many runs of another environment that ended more than a week ago, and what each of them touched."""
    found, names = SqliteJournal(None), [f"run-{n}" for n in range(old)]
    runs = {
        r: RunEntry(r, f"of-{r}", "other", "db", "restart", RunState.SUCCEEDED, OLD_NS, OLD_NS, 1, {}) for r in names
    }
    facts = {f"identity/{r}": {"steps": {}, "keys": [f"thing/{r}"]} for r in names}
    found.restore(Image(runs=runs, facts=facts))
    return found


async def instructions(old: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Instructions of SQLite's machine for one repair from its decision to its end: they grow with each row that is looked at."""
    monkeypatch.setattr("tests.unit.playbooks.runs.support.MemoryJournal", lambda: journal(old))
    world = World(settings=ActSettings(audit_ack_s=60, environments={**BOUND, "other": BindingSettings()}))
    steps = count()
    connection = world.journal._db._connection  # type: ignore[attr-defined]
    connection.set_progress_handler(lambda: next(steps) and 0, 1)
    await world.executor.on_decision(decision())
    await world.run_to(40)
    connection.set_progress_handler(None, 1)
    await world.done()
    assert world.process.applied_keys
    return next(steps)


async def test_old_facts_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    few, many = [await instructions(old, monkeypatch) for old in (20, 20_000)]
    assert many < 1.1 * few
