"""The journal is swept now and then, by a clock that can be believed, and what it forgot is counted."""

import asyncio

import pytest

from contracts.ports import ManualClock
from contracts.settings import ActSettings
from contracts.units import DAY, SECOND
from homeostat import forgetting
from homeostat.forgetting import Forgetting, steady
from tests.patience import PATIENCE_S
from tests.unit.playbooks.runs.support import T0
from tests.unit.playbooks.runs.test_retention import filled


def test_a_clock_that_was_set_is_not_believed() -> None:
    assert steady(300 * SECOND, 300.4)
    assert steady(300 * SECOND, 345.0), "a slow machine"
    assert not steady(30 * DAY, 300.0)
    assert not steady(-3600 * SECOND, 300.0)


async def test_it_sweeps_what_a_steady_clock_says_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "SWEEP_S", 0.01)
    monkeypatch.setattr(forgetting, "_SOON_S", 0.01)
    journal = filled(*(40 * DAY for _ in range(700)), 1 * DAY)
    task = Forgetting(journal, ActSettings(), ManualClock(T0))
    task.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while len(journal.entries) > 1:
                await asyncio.sleep(0.01)
        counted = {(name, labels): value for name, labels, value in task.samples()}
        assert counted["journal_forgotten", ("run", "age")] == 700
        assert counted["journal_entries", ("runs",)] == 1
        assert counted["journal_overfull", ()] == 0
    finally:
        await task.stop()


async def test_a_clock_that_jumps_makes_nothing_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """A laptop's clock is set a year ahead and back again: cooldowns are known all the while."""

    class Jumping(ManualClock):
        asked = 0

        def now_ns(self) -> int:
            self.asked += 1
            return T0 + 365 * DAY * (self.asked % 2)

    monkeypatch.setattr(forgetting, "SWEEP_S", 0.001)
    journal, clock = filled(8 * DAY, 9 * DAY), Jumping(T0)
    task = Forgetting(journal, ActSettings(), clock)
    task.start()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while clock.asked < 40:
                await asyncio.sleep(0.001)
        assert len(journal.entries) == 2
    finally:
        await task.stop()
