"""What deciding looks up, kept fresh from evidence, actuators and the journal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from connectors.actuators.dry_run import DryRunActuator
from connectors.journal.sqlite import SqliteJournal
from contracts.errors import ActuatorUnavailable, TargetNotFound
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame
from contracts.ports import ManualClock, StepRequest, Target, TargetState
from contracts.settings import ActSettings, BindingSettings
from homeostat import target_states as module
from homeostat.target_states import FORGET_NS, TargetStates
from playbooks.guards import HISTORY_S
from tests.patience import PATIENCE_S

NOW = 1_700_000_000_000_000_000


class Particular(DryRunActuator):
    """Knows one service; is away when told so."""

    name = "particular"
    actions = frozenset({"purge"})
    away = False

    async def describe(self, target: Target) -> TargetState:
        if self.away:
            raise ActuatorUnavailable("away")
        if target.service != "cart":
            raise TargetNotFound(target.service)
        return TargetState(
            replicas=7, ready=6, version=target.attributes.get("v", ""), previous_version="", generation="1"
        )


def frame(*services: str, window: int = NOW, attributes: tuple[str, ...] = ()) -> EvidenceFrame:
    features = BY_SIGNAL[Signal.SPANS]
    grid, column = np.zeros((len(services), len(features))), np.zeros(len(services), np.int64)
    none = ("",) * len(services)
    return EvidenceFrame(
        *("prod", "spans", 0, window, 10**9, services, (), none, attributes or none, features, grid, column),
        *(grid, grid, grid, np.ones(len(services)), ("healthy",) * len(services), ()),
    )


@pytest.fixture
async def particular() -> Particular:
    return Particular()


@pytest.fixture
async def facts(tmp_path: Path, particular: Particular, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TargetStates]:
    monkeypatch.setattr(module, "REFRESH_S", 0.02)
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    found = TargetStates(
        journal, [particular, DryRunActuator()], ManualClock(NOW), ActSettings(environments={"prod": BindingSettings()})
    )
    found.start()
    yield found
    await found.stop()
    journal.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def replicas(facts: TargetStates, service: str) -> int | None:
    state = facts.target_state("prod", service)
    return state.replicas if state else None


async def test_targets_are_described_by_the_first_actuator_that_knows_them(facts: TargetStates) -> None:
    assert facts.target_state("prod", "cart") is None
    facts.observe(frame("cart", "stock", attributes=('{"v": "2.1"}', "")))
    await until(lambda: (replicas(facts, "cart"), replicas(facts, "stock")) == (7, 1))
    facts.observe(frame("cart"))
    state = facts.target_state("prod", "cart")
    assert state is not None
    assert state.version == "2.1", "attributes once known stay known"
    assert facts.target_state("elsewhere", "cart") is None


async def test_an_actuator_that_is_away_leaves_no_stale_state(facts: TargetStates, particular: Particular) -> None:
    facts.observe(frame("cart"))
    await until(lambda: replicas(facts, "cart") == 7)
    particular.away = True
    await until(lambda: replicas(facts, "cart") == 1)


async def test_what_was_done_shows(facts: TargetStates, tmp_path: Path) -> None:
    dry = facts._actuators[1]
    facts.observe(frame("stock"))
    target = Target("prod", "stock", {})
    await dry.apply(
        StepRequest(
            key="k",
            run="r",
            step="s",
            action="scale",
            target=target,
            arguments={"replicas": 4},
            timeout_s=1,
            before=None,
        )
    )
    await until(lambda: replicas(facts, "stock") == 4)


async def test_services_are_known_for_a_while_after_they_were_heard_of(facts: TargetStates) -> None:
    facts.observe(frame("old", "db:postgresql/stock"))
    facts.observe(frame("new", window=NOW + FORGET_NS - 1))
    assert facts.known_services("prod") == ["new", "old"], "what is not a service is not listed"
    facts.observe(frame("new", window=NOW + FORGET_NS))
    assert facts.known_services("prod") == ["new"]
    assert facts.known_services("elsewhere") == []


async def test_actions_are_those_of_all_actuators(facts: TargetStates) -> None:
    assert facts.actions("prod") == DryRunActuator().actions | {"purge"}


async def test_what_is_not_bound_is_not_looked_at(facts: TargetStates, particular: Particular) -> None:
    for environment in ("prod", "elsewhere"):
        facts.observe(replace(frame("cart"), environment=environment))
    await until(lambda: replicas(facts, "cart") == 7)
    state = facts.target_state("elsewhere", "cart")
    assert state is None or state.detail["dry_run"] == "assumed"
    assert facts.actions("elsewhere") == DryRunActuator().actions


async def test_history_is_that_of_the_environment_within_the_horizon(facts: TargetStates) -> None:
    journal = facts._journal
    for run, environment, at in (
        ("r1", "prod", NOW - int(HISTORY_S * 1e9) - 1),
        ("r2", "prod", NOW - 5),
        ("r3", "test", NOW - 5),
    ):
        journal.create(
            run=run, decision=f"d-{run}", environment=environment, target="a", playbook="p", definition={}, now_ns=at
        )
    assert [r.run for r in facts.history("prod")] == ["r2"]


class Broken(DryRunActuator):
    """A plugin with a mistake: one service is too much for it."""

    name = "broken"
    how: str = ""

    async def describe(self, target: Target) -> TargetState:
        if target.service == "cart" and self.how == "raises":
            raise KeyError("replicas")
        if target.service == "cart" and self.how == "hangs":
            await asyncio.Event().wait()
        return TargetState(replicas=3, ready=3, version="1", previous_version="", generation="1")


@pytest.mark.parametrize("how", ["raises", "hangs"])
async def test_a_plug_in_that_fails_on_one_target_freezes_no_other(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.02)
    monkeypatch.setattr(module, "DESCRIBE_S", 0.05)
    journal, plugin = SqliteJournal(tmp_path / "journal.sqlite"), Broken()
    bound = ActSettings(environments={"prod": BindingSettings()})
    facts = TargetStates(journal, [plugin], ManualClock(NOW), bound)
    facts.start()
    try:
        facts.observe(frame("cart"))
        await until(lambda: replicas(facts, "cart") == 3)
        plugin.how = how
        await until(lambda: replicas(facts, "cart") is None)
        facts.observe(frame("stock"))
        await until(lambda: replicas(facts, "stock") == 3)
        await until(lambda: "cart" in facts.troubles.get("broken", ""))
        plugin.how = ""
        await until(lambda: replicas(facts, "cart") == 3 and not facts.troubles)
    finally:
        await facts.stop()
        journal.close()
