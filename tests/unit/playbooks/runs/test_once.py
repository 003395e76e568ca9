"""Nothing between the last look at the switches and the effect, and each transition told once, whole or not at all."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from contracts.events import encode
from contracts.ports import Applied, StepEntry
from contracts.settings import ActSettings
from contracts.units import SECOND
from contracts.verdicts import RunState, StepPhase
from playbooks.language.model import Step
from playbooks.runs.journal_records import Announced, save_announced
from playbooks.runs.plan import Surroundings, plan_of
from playbooks.runs.switches import mode_of
from tests.checks.crash.stories import flaws
from tests.patience import PATIENCE_S
from tests.unit.playbooks.runs.support import BOUND, RESTART, T0, MemoryJournal, World, control, decision


@pytest.fixture
async def world() -> AsyncIterator[World]:
    built = World()
    yield built
    await built.done()


def told(world: World) -> list[dict[str, Any]]:
    return [json.loads(encode(record)) for record in world.actions]


class SettlesWith(MemoryJournal):
    """Something happens while a journal settles for the `n`-th time, or right after it, in the loop's next turn."""

    def __init__(self, n: int, happens: Any, *, after: bool) -> None:
        super().__init__()
        self._left, self._happens, self._after = n, happens, after

    async def settled(self, environment: str, timeout_s: float) -> None:
        await super().settled(environment, timeout_s)
        if self._left and any(line.phase is StepPhase.INTENT for e in self.entries.values() for line in e.steps):
            self._left -= 1
            if self._after:
                asyncio.get_running_loop().call_soon(at_once, self._happens())
            else:
                await self._happens()


@pytest.mark.parametrize("after", [False, True])
async def test_a_stop_in_the_last_turn_before_the_effect_is_heard(after: bool) -> None:
    world = World()

    async def stop() -> None:
        await world.executor.on_control(control(acting=False))

    world.journal = SettlesWith(1, stop, after=after)
    world.born()
    await world.executor.on_decision(decision())
    await world.executor.idle()
    await world.run_to(2)
    await world.done()
    assert world.process.requests == [], "it acted after the stop"
    assert world.state() is RunState.CANCELLED
    assert flaws(told(world)) == []


def at_once(work: Coroutine[Any, Any, None]) -> None:
    """Do, in this very turn, what never waits."""
    with pytest.raises(StopIteration):
        work.send(None)


async def test_whenever_a_stop_comes_the_effect_does_not_follow_it() -> None:
    """A stop in each of the loop's turns from the decision on: what was called was called before."""
    stopped_first = 0
    for turns in range(24):
        world = World()
        calls = []
        real = world.process.apply

        async def apply(request: Any, world: World = world, calls: list[bool] = calls, real: Any = real) -> Any:
            calls.append(mode_of(world.journal, "test").acting)
            return await real(request)

        world.process.apply = apply  # type: ignore[method-assign]
        await world.executor.on_decision(decision())
        later(turns, world.executor.on_control(control(acting=False)))
        await world.executor.idle()
        await world.run_to(5)
        await world.done()
        assert calls in ([], [True]), turns
        stopped_first += not calls
        assert flaws(told(world)) == [], turns
    assert 0 < stopped_first < 24, "the turns tried do not reach from before the effect to after it"


def later(turns: int, work: Coroutine[Any, Any, None]) -> None:
    loop = asyncio.get_running_loop()
    loop.call_soon(later, turns - 1, work) if turns else at_once(work)


async def test_a_block_that_fails_leaves_no_record_and_the_chain_goes_on(world: World) -> None:
    """The state could not be kept: nobody was told of it, and the next record takes its number."""

    class Fails(MemoryJournal):
        failures = 2

        def set_state(self, run: str, fence: int, state: RunState, now_ns: int) -> None:
            if state is RunState.RUNNING and self.failures:
                self.failures -= 1
                raise RuntimeError("the disk is full")
            super().set_state(run, fence, state, now_ns)

    world.journal = Fails()
    world.born()
    await world.executor.on_decision(decision())
    async with asyncio.timeout(PATIENCE_S):
        while not world.process.applied_keys:
            await asyncio.sleep(0.01)
    await world.run_to(5)
    await world.done()
    assert world.story.count("run.running") == 1
    assert flaws(told(world)) == []


async def test_what_was_announced_and_not_begun_is_told_as_skipped() -> None:
    """The broker took the intent, then acting was stopped: the intent has an outcome, before the run's end."""
    world = World(settings=ActSettings(audit_ack_s=60, environments=BOUND))
    world.broker_away = True
    await world.executor.on_decision(decision())
    for _ in range(5):
        await asyncio.sleep(0)
    await world.executor.on_control(control(acting=False))
    world.broker_away = False
    await world.run_to(3)
    await world.done()
    assert world.process.requests == []
    assert world.story[-2:] == ["step.skipped", "run.cancelled"]
    assert flaws(told(world)) == []


async def test_a_wait_that_is_cut_off_has_an_outcome(world: World) -> None:
    pausing = replace(RESTART, name="pausing", steps=(Step("pause", "wait", {"seconds": 60}), *RESTART.steps))
    world.playbooks["pausing"] = pausing
    world.born()
    await world.executor.on_decision(decision("pausing"))
    await world.executor.idle()
    await world.executor.on_control(control(acting=False, now_ns=T0 + SECOND))
    await world.run_to(2)
    await world.done()
    assert world.state() is RunState.CANCELLED
    assert world.story == ["run.pending", "run.running", "step.intent", "step.skipped", "run.cancelled"]
    assert flaws(told(world)) == []


@pytest.mark.parametrize("answer", list(Applied))
async def test_lives_that_end_at_the_same_place_tell_it_once(answer: Applied) -> None:
    """Ten executors die between the announced intent and its outcome."""
    world = World()
    world.process.answer = answer
    world.process.block = asyncio.Event()
    for _ in range(10):
        await world.executor.on_decision(decision())
        await world.executor.resume()
        for _ in range(30):
            await asyncio.sleep(0)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.sleep(0)
        world.born()
    world.process.block.set()
    await world.executor.resume()
    await world.run_to(5)
    await world.done()
    intents = [r for r in told(world) if r["type"].endswith("step.intent")]
    assert len({r["sequence"] for r in intents}) == 1
    assert flaws(told(world)) == []


async def test_what_came_of_an_effect_is_not_lost_when_it_cannot_be_written_at_once() -> None:
    """Nobody else could tell: the actuator itself says that it doesn't know."""

    class Fails(MemoryJournal):
        failures = 1

        def step(self, entry: StepEntry, fence: int) -> None:
            if entry.phase is StepPhase.APPLIED and self.failures:
                self.failures -= 1
                raise RuntimeError("the disk is full")
            super().step(entry, fence)

    world = World()
    world.process.answer = Applied.UNKNOWN
    world.journal = journal = Fails()
    world.born()
    await world.suffer()
    await world.executor.on_decision(decision())
    while journal.failures or world.state() is RunState.RUNNING:
        await asyncio.sleep(0.05)
    await world.run_to(5)
    await world.done()
    assert world.state() is RunState.SUCCEEDED
    assert len(world.process.applied_keys) == 1
    assert flaws(told(world)) == []


@pytest.mark.parametrize("key", ["0" * 64, "f" * 64, ""])
async def test_what_was_announced_of_another_effect_announces_nothing_of_this_one(world: World, key: str) -> None:
    plan = plan_of(decision(), RESTART, now_ns=T0, surroundings=Surroundings())
    save_announced(world.journal, plan, Announced("other", key, 1, {}))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    (request,) = world.process.requests
    await world.done()
    (said,) = (r for r in world.actions if r.type.endswith("step.intent"))
    assert said.data["key"] == request.key


async def test_who_is_released_during_an_effect_records_it_and_begins_no_other() -> None:
    steps = (Step("grow", "scale", {"by": 1}), Step("restart", "restart", needs=("grow",)))
    world = World(replace(RESTART, steps=steps))
    world.process.block = asyncio.Event()
    await world.executor.on_decision(decision())
    while not world.process.requests:
        await asyncio.sleep(0)
    leaving = asyncio.ensure_future(world.executor.release(lambda environment: False, PATIENCE_S))
    await asyncio.sleep(0)
    assert not leaving.done(), "the effect under way is waited for"
    world.process.block.set()
    await leaving
    (entry,) = world.journal.entries.values()
    assert [(line.step, line.phase) for line in entry.steps] == [
        ("grow", StepPhase.INTENT),
        ("grow", StepPhase.APPLIED),
    ]
    assert [r.action for r in world.process.requests] == ["scale"]
    await world.executor.resume(["test"])
    await world.run_to(40)
    assert [r.action for r in world.process.requests] == ["scale", "restart"]
    await world.done()
    assert flaws(told(world)) == []
