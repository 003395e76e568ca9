"""The whole loop in virtual time: a fault is found, named and repaired, the same way each time; results are kept and not run again."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from contracts.errors import InvalidSettings
from contracts.settings import Settings
from contracts.settings import load as load_settings
from homeostat.judge.assessment import fault_rows, trial_row
from homeostat.judge.baselines import try_nothing, try_rules
from homeostat.judge.closed_loop import try_episode
from homeostat.judge.report import lines, report_of
from homeostat.judge.running import ResultsFile, Task
from homeostat.judge.story import told
from homeostat.judge.trial import AlarmSeen, Trial
from homeostat.judge.virtual_time import VirtualLoop, run_virtually
from tests.patience import PATIENCE_S
from twin.configuration import Split
from twin.episode import Plot, SimulatedEpisode


@pytest.fixture
def bank() -> Settings:
    return load_settings({"detect": {"detectors": ("bank",)}})


def episode(kind: str = "failing", seconds: int = 150) -> SimulatedEpisode:
    plan = SimulatedEpisode.drawn(Split.TUNING, 21, services=6, style="complete").plan
    entry = plan.services[plan.entries[0].service].name
    plot = Plot(((85.0, kind),), seconds, operations=False, size=0.8, at=entry)
    return SimulatedEpisode.drawn(Split.TUNING, 21, services=6, style="complete", plot=plot)


@pytest.mark.slow
def test_what_fails_is_found_named_and_repaired_the_same_way_each_time(bank: Settings):
    first, again = (try_episode(episode(), bank) for _ in range(2))
    assert first.dead_letters == 0
    assert first.alarms
    assert first.incidents
    assert first.decisions
    assert [a.action for a in first.acts] == ["restart"]
    assert first.acts[0].service == first.faults[0].service
    first.cpu_s = first.simulator_cpu_s = again.cpu_s = again.simulator_cpu_s = 0.0
    assert msgspec.json.encode(first) == msgspec.json.encode(again)
    row = fault_rows(first)[0]
    assert row.found_s is not None
    assert row.first
    assert row.first_right
    assert row.repaired
    assert any("failing" in line for line in told(first))


def test_nobody_mends_nothing_and_rules_alarm_after_their_minute():
    nothing, rules = try_nothing(episode("crash")), try_rules(episode("crash"))
    assert not nothing.alarms
    assert nothing.harm[-1] > 0.05
    assert nothing.harm == rules.harm
    assert rules.alarms
    assert min(a.opened_s for a in rules.alarms) >= 85 + 60
    report = report_of([nothing, rules], "tuning", "window")
    assert report.overall["nothing"].figures["recall"].value == 0.0
    assert report.overall["static rules"].figures["recall"].value == 1.0
    assert any("recall" in line for line in lines(report))
    assert trial_row(nothing).acts == 0


def test_results_are_kept_line_by_line_and_a_torn_line_is_run_again(tmp_path: Path):
    path = tmp_path / "judge.jsonl"
    trial = Trial("tuning/1", "complete", 3, 2, 1.0, 60, acting=True)
    results = ResultsFile(path)
    results.keep(Task(Split.TUNING, 1).key, trial)
    results.keep(Task(Split.TUNING, 2).key, trial)
    path.write_bytes(path.read_bytes()[:-20])
    assert set(ResultsFile(path).trials) == {Task(Split.TUNING, 1).key}
    path.write_text("what is this\n")
    with pytest.raises(InvalidSettings, match="no file of results"):
        ResultsFile(path)


def test_virtual_time_passes_without_waiting_and_threads_are_done_in_place():
    async def main(loop: VirtualLoop) -> list[float]:
        seen = []
        for _ in range(3):
            await asyncio.sleep(1000.0)
            seen.append(await asyncio.to_thread(loop.time))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(PATIENCE_S):
                await asyncio.Event().wait()
        return [*seen, loop.time() - PATIENCE_S]

    assert run_virtually(main) == [1000.0, 2000.0, 3000.0, 3000.0]


def test_whoever_waits_for_nothing_that_can_come_is_told():
    async def main(_: VirtualLoop) -> None:
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="no time will change"):
        run_virtually(main)


@pytest.mark.parametrize(("style", "late"), [("complete", False), ("late", True)])
def test_what_senders_delay_is_counted_apart(style: str, late: bool):
    plot = Plot(((85.0, "crash"),), 170, operations=False, size=1.0)
    run = SimulatedEpisode.drawn(Split.TUNING, 22, services=6, style=style, plot=plot)
    trial = try_nothing(run)
    fault = trial.faults[0]
    assert fault.hurt_from_s is not None
    assert fault.arrives_s is not None
    delays = [s.habit.delay_s for s in run.plan.services if s.tells and s.name in fault.path]
    assert (min(delays) > 1.0) == late
    assert 0.0 <= fault.arrives_s - fault.hurt_from_s - max(min(delays), 1.0) < 1.0
    opened_s = fault.arrives_s + 0.5
    trial.alarms = [AlarmSeen("a", fault.path[0], "", opened_s, opened_s, "request_rate")]
    row = fault_rows(trial)[0]
    assert row.after_arrival_s == pytest.approx(0.5)
    assert row.found_s == pytest.approx(opened_s - fault.hurt_from_s)
    figures = report_of([trial], "tuning", "window").overall["nothing"].figures
    assert figures["arrived_in_2s"].value == 1.0
    assert (figures["found_in_2s"].value == 0.0) == late


def test_a_hard_fault_is_one_that_hurts_many_at_once_at_much_traffic():
    plot = Plot(((85.0, "crash"),), 100, operations=False, size=1.0)
    trial = try_nothing(SimulatedEpisode.drawn(Split.TUNING, 22, services=6, style="complete", plot=plot))
    fault = trial.faults[0]
    assert fault.rate > 0.0
    for rate, harm, hard in ((60.0, 0.3, True), (40.0, 0.3, False), (60.0, 0.05, False)):
        trial.faults = (msgspec.structs.replace(fault, rate=rate),)
        trial.harm = tuple(harm if i >= 85 else 0.0 for i in range(100))
        assert fault_rows(trial)[0].hard is hard


def test_a_fault_at_who_is_ill_already_is_known_without_a_second_alarm():
    plot = Plot(((85.0, "crash"),), 100, operations=False, size=1.0)
    trial = try_nothing(SimulatedEpisode.drawn(Split.TUNING, 22, services=6, style="complete", plot=plot))
    root = trial.faults[0].roots[0]
    for service, opened_s, closed_s, known in (
        (root, 70.0, None, True),
        (root, 70.0, 80.0, False),
        ("somebody else", 70.0, None, False),
        (root, 90.0, None, True),
    ):
        trial.alarms = [AlarmSeen("a", service, "", opened_s, opened_s, "error_rate", closed_s=closed_s)]
        row = fault_rows(trial)[0]
        assert row.known is known
        assert (row.found_s is not None) is (opened_s == 90.0)


@pytest.mark.parametrize("dead", [0, 3])
def test_messages_that_could_not_be_read_are_told(dead: int):
    plot = Plot(((85.0, "crash"),), 90, operations=False, size=1.0)
    trial = try_nothing(SimulatedEpisode.drawn(Split.TUNING, 22, services=6, style="complete", plot=plot))
    trial.dead_letters = dead
    said = lines(report_of([trial, trial], "tuning", "window"))
    assert [line for line in said if "could not be read" in line] == [
        f"{2 * dead} messages could not be read or judged, and are dead letters: that is a defect"
    ] * (dead > 0)
