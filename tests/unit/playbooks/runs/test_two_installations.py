"""Two installations with journals of their own that act on one thing know of each other by the thing itself: only one acts."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace

import pytest

from connectors.actuators.dry_run import DryRunActuator
from contracts.ports import Mark, Target, TargetState
from contracts.settings import ActSettings
from contracts.units import HOUR, SECOND
from contracts.verdicts import HeldReason, RunState
from playbooks.guards import GuardContext, Ourselves, alone
from tests.patience import PATIENCE_S
from tests.unit.playbooks.runs.support import BOUND, RESTART, SCALE, T0, World, decision, frame

CART = Target("test", "cart")


def worlds(*names: str, pause_s: tuple[float, float] = (300.0, 300.0)) -> list[World]:
    """Installations of these names on one system."""
    system, found = DryRunActuator(), []
    for name, one_s in zip(names, pause_s, strict=True):
        settings = ActSettings(audit_ack_s=PATIENCE_S, environments=BOUND, installation=name, others_pause_s=one_s)
        world = World(
            *(replace(p, guards=replace(p.guards, cooldown_s=1.0)) for p in (RESTART, SCALE)), settings=settings
        )
        world.process = system  # type: ignore[assignment]
        world.born()
        found.append(world)
    return found


async def decide(world: World, name: str, playbook: str = "restart-service") -> None:
    await world.executor.on_decision(decision(playbook, name=name, now_ns=world.clock.now_ns()))
    await world.executor.idle()


def effects(world: World) -> list[str]:
    return [f"{one.action} {one.target.service}" for one in world.process.recorded]  # type: ignore[attr-defined]


def refusals(world: World) -> list[str]:
    return [a.text for a in world.actions if a.data.get("reason") == HeldReason.ANOTHER]


async def test_the_second_leaves_it_alone_and_says_who_was_first() -> None:
    north, south = worlds("north", "south")
    await north.suffer()
    await south.suffer()
    await decide(north, "d1")
    await south.run_to(10, error=0.6)
    await decide(south, "d2")
    assert south.state("d2") is RunState.REFUSED
    await south.done()
    assert effects(north) == ["restart cart"]
    (text,) = refusals(south)
    assert "another Homeostat, north (restart), 10s ago" in text
    await north.done()


async def test_of_two_at_the_same_moment_one_acts() -> None:
    for seed in range(5):
        both = worlds("north", "south")
        for world in both:
            await world.suffer()
        told = [decide(world, f"d{i}") for i, world in enumerate(both)]
        await asyncio.gather(*(told if seed % 2 else reversed(told)))
        for world in both:
            await world.run_to(20, error=0.6)
            await world.done()
        assert effects(both[0]) == ["restart cart"]
        acted = [w for w in both if "step.applied" in w.story]
        assert len(acted) == 1
        assert any("another Homeostat" in a.text for w in both if w is not acted[0] for a in w.actions)


async def test_when_the_pause_is_over_it_may_act() -> None:
    north, south = worlds("north", "south", pause_s=(30.0, 30.0))
    await north.suffer()
    await decide(north, "d1")
    await south.run_to(35, error=0.0)
    await south.run_to(40, error=0.6)
    await decide(south, "d2")
    await south.done()
    assert effects(north) == ["restart cart"] * 2, [a.text for a in south.actions]
    for world in (north, south):
        await world.done()


async def test_workers_of_one_installation_are_no_others() -> None:
    one, other = worlds("north", "north")
    for world, name in ((one, "d1"), (other, "d2")):
        await world.suffer()
        await decide(world, name)
    assert effects(one) == ["restart cart"] * 2, "what they may do is told by the journal that they share"
    for world in (one, other):
        await world.done()


async def test_what_another_did_meanwhile_is_not_undone() -> None:
    north, south = worlds("north", "south", pause_s=(60.0, 3.0))
    await north.suffer()
    await decide(north, "d1", "scale-out")
    for second in range(-30, 0):
        await south.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (50.0, 0.0)}))
    await south.run_to(5, error=0.6)
    await decide(south, "d2", "scale-out")
    assert effects(north) == ["scale cart"] * 2
    await north.run_to(12, error=1.0)
    assert effects(north) == ["scale cart"] * 2, "the roll-back waits"
    for world in (north, south):
        await world.done()
    assert refusals(north)


AGES = (0, 1, 299, 301, HOUR // SECOND)


@pytest.mark.parametrize(("age_s", "ours"), list(itertools.product((-HOUR // SECOND, *AGES), ("north", "south", ""))))
def test_the_guard(age_s: int, ours: str) -> None:
    state = TargetState(2, 2, acted=Mark("north", "restart", T0 - age_s * SECOND))
    held = alone(RESTART, CART, state, GuardContext(now_ns=T0, ourselves=Ourselves(ours)))
    assert (held is not None) == (ours == "south" and age_s < 300), "a clock that is ahead is no reason to act"
    assert alone(RESTART, CART, TargetState(2, 2), GuardContext(now_ns=T0, ourselves=Ourselves(ours))) is None


def test_marks_as_text() -> None:
    mark = Mark("north", "restart", T0)
    assert Mark.of(mark.text) == mark
    assert Mark.of("") is None
    for damaged in ("x", "{}", '{"by": 1}', '{"by": "\\u001b[2J", "action": "a", "time_ns": 1}', "\x00"):
        found = Mark.of(damaged)
        assert found is not None, "somebody wrote it"
        assert found.words.isprintable()
