"""How targets are: kept fresh from evidence and actuators."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import numpy as np
import pytest

from connectors.actuators.dry_run import DryRunActuator
from contracts.errors import ActuatorUnavailable, TargetNotFound
from contracts.events import Incident
from contracts.features import BY_SIGNAL, Signal
from contracts.frames import EvidenceFrame
from contracts.ports import ManualClock, StepRequest, Target, TargetState
from contracts.settings import ActSettings, BindingSettings
from contracts.verdicts import IncidentPhase, Severity
from homeostat import target_states as module
from homeostat.target_states import FORGET_NS, STALE_NS, TargetStates
from tests.patience import PATIENCE_S

NOW = 1_700_000_000_000_000_000
BOUND = ActSettings(environments={"prod": BindingSettings()})


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
async def targets(particular: Particular, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TargetStates]:
    monkeypatch.setattr(module, "REFRESH_S", 0.02)
    found = TargetStates([particular, DryRunActuator()], ManualClock(NOW), BOUND, lambda _: None)
    found.start()
    yield found
    await found.stop()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.01)


def replicas(targets: TargetStates, service: str) -> int | None:
    state = targets.known("prod").get(service)
    return state.replicas if state else None


async def test_targets_are_described_by_the_first_actuator_that_knows_them(targets: TargetStates) -> None:
    assert targets.known("prod").get("cart") is None
    targets.observe(frame("cart", "stock", attributes=('{"v": "2.1"}', "")))
    await until(lambda: (replicas(targets, "cart"), replicas(targets, "stock")) == (7, 1))
    targets.observe(frame("cart"))
    state = targets.known("prod").get("cart")
    assert state is not None
    assert state.version == "2.1", "attributes once known stay known"
    assert targets.known("elsewhere").get("cart") is None


async def test_an_actuator_that_is_away_leaves_no_stale_state(targets: TargetStates, particular: Particular) -> None:
    targets.observe(frame("cart"))
    await until(lambda: replicas(targets, "cart") == 7)
    particular.away = True
    await until(lambda: replicas(targets, "cart") == 1)


async def test_what_was_done_shows(targets: TargetStates) -> None:
    dry = targets._actuators[1]
    targets.observe(frame("stock"))
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
    await until(lambda: replicas(targets, "stock") == 4)


async def test_who_was_not_heard_of_for_long_is_no_target(targets: TargetStates) -> None:
    targets.observe(frame("old"))
    await until(lambda: replicas(targets, "old") == 1)
    targets.observe(frame("new", window=NOW + FORGET_NS))
    await until(lambda: (replicas(targets, "new"), replicas(targets, "old")) == (1, None))


async def test_what_was_described_long_ago_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, dry = ManualClock(NOW), DryRunActuator()
    changes: list[str] = []
    targets = TargetStates([dry], clock, BOUND, changes.append)
    monkeypatch.setattr(module, "REFRESH_S", 3600)
    targets.observe(frame("cart"))
    targets.start()
    try:
        await until(lambda: replicas(targets, "cart") == 1)
        assert changes == ["prod"]
        clock.advance_to(NOW + STALE_NS)
        assert replicas(targets, "cart") == 1
        clock.advance_to(NOW + STALE_NS + 1)
        assert replicas(targets, "cart") is None, "how it is by now nobody knows"
    finally:
        await targets.stop()


async def test_an_environment_that_left_is_forgotten(targets: TargetStates) -> None:
    targets.observe(frame("cart"))
    await until(lambda: replicas(targets, "cart") == 7)
    targets.forget("prod")
    assert targets.known("prod") == {}


async def test_actions_are_those_of_all_actuators(targets: TargetStates) -> None:
    assert targets.actions("prod") == DryRunActuator().actions | {"purge"}


async def test_what_is_not_bound_is_not_looked_at(targets: TargetStates, particular: Particular) -> None:
    for environment in ("prod", "elsewhere"):
        targets.observe(replace(frame("cart"), environment=environment))
    await until(lambda: replicas(targets, "cart") == 7)
    state = targets.known("elsewhere").get("cart")
    assert state is None or state.detail["dry_run"] == "assumed"
    assert targets.actions("elsewhere") == DryRunActuator().actions


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
async def test_a_plug_in_that_fails_on_one_target_freezes_no_other(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH_S", 0.02)
    monkeypatch.setattr(module, "DESCRIBE_S", 0.05)
    plugin = Broken()
    targets = TargetStates([plugin], ManualClock(NOW), BOUND, lambda _: None)
    targets.start()
    try:
        targets.observe(frame("cart"))
        await until(lambda: replicas(targets, "cart") == 3)
        plugin.how = how
        await until(lambda: replicas(targets, "cart") is None)
        targets.observe(frame("stock"))
        await until(lambda: replicas(targets, "stock") == 3)
        await until(lambda: "cart" in targets.troubles.get("broken", ""))
        plugin.how = ""
        await until(lambda: replicas(targets, "cart") == 3 and not targets.troubles)
    finally:
        await targets.stop()


async def test_who_is_suspected_is_looked_at_first_and_at_once(
    particular: Particular, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An incident doesn't wait for the next round: what became of its services is known before anything is done to them."""
    monkeypatch.setattr(module, "REFRESH_S", 600.0)
    monkeypatch.setattr(module, "AT_ONCE", 1)
    asked: list[str] = []
    describe = particular.describe

    async def noted(target: Target) -> TargetState:
        asked.append(target.service)
        return await describe(target)

    monkeypatch.setattr(particular, "describe", noted)
    states = TargetStates([particular], ManualClock(NOW), BOUND, lambda _: None)
    states.observe(frame("a", "b", "cart"))
    states.start()
    try:
        await until(lambda: len(asked) == 3)
        states.suspect(incident("cart"))
        await until(lambda: len(asked) == 6)
        states.suspect(incident("cart"))
        await asyncio.sleep(0.05)
    finally:
        await states.stop()
    assert asked == ["a", "b", "cart", "cart", "a", "b"], "once, and not at each of its revisions"


def incident(*services: str) -> Incident:
    return Incident(
        id="i",
        environment="prod",
        phase=IncidentPhase.OPENED,
        severity=Severity.CRITICAL,
        onset_ns=NOW,
        time_ns=NOW,
        revision=1,
        anomalies=(),
        services=services,
        candidates=(),
        blast_radius=(),
        confidence=0.0,
        settled=False,
        text="",
    )
