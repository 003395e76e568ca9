"""Actuators that do what their port forbids: each ends a run by name and on record, and none is asked for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from contracts.ports import StepResult, TargetState
from contracts.units import SECOND
from contracts.verdicts import RunState
from playbooks.runs import actuator_calls
from tests.unit.playbooks.runs.support import T0, World, decision, frame


class Odd:
    """What no journal can keep."""


def _raises(error: BaseException) -> Callable[..., Any]:
    async def call(*_: object) -> object:
        raise type(error)(*error.args)

    return call


def _raises_before_it_is_awaited(*_: object) -> object:
    raise KeyError("spec")


def _answers(value: object) -> Callable[..., Any]:
    async def call(*_: object) -> object:
        return value

    return call


async def _hangs(*_: object) -> object:
    return await asyncio.Event().wait()


FOREIGN = [
    pytest.param(_raises(KeyError("spec")), id="KeyError"),
    pytest.param(_raises(ZeroDivisionError()), id="ZeroDivisionError"),
    pytest.param(_raises(ExceptionGroup("several", [ValueError("x")])), id="group"),
    pytest.param(_raises_before_it_is_awaited, id="no-coroutine"),
    pytest.param(_answers(None), id="None"),
    pytest.param(_answers({"replicas": 1}), id="dict"),
]
STATES = [
    pytest.param(_answers(TargetState("many", 1)), id="no-number"),  # type: ignore[arg-type]
    pytest.param(_answers(TargetState(1, 1, detail={"a": Odd()})), id="not-JSON"),  # type: ignore[dict-item]
]


async def _refused(world: World) -> str:
    """The run of a decision is refused, with nothing tried; the reason it gives."""
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()
    assert not world.executor.runs
    return str(world.actions[-1].data["reason"])


@pytest.mark.parametrize("does", [*FOREIGN, *STATES])
async def test_describe(does: Any) -> None:
    world = World()
    world.process.describe = does  # type: ignore[method-assign]
    assert await _refused(world) == "actuator_fault"


@pytest.mark.parametrize("does", FOREIGN)
async def test_resolve(does: Any) -> None:
    world = World()
    world.process.describe = _answers(world.process.state)  # type: ignore[method-assign]
    world.process.resolve = does  # type: ignore[method-assign]
    assert await _refused(world) == "actuator_fault"


@pytest.mark.parametrize("method", ["describe", "resolve"])
async def test_no_answer(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actuator_calls, "ANSWER_S", 0.05)
    world = World()
    if method == "resolve":
        world.process.describe = _answers(world.process.state)  # type: ignore[method-assign]
    setattr(world.process, method, _hangs)
    assert await _refused(world) == "no_target"


@pytest.mark.parametrize("does", FOREIGN)
async def test_apply(does: Any) -> None:
    """Whether it had its effect isn't known: a person must look, and it isn't tried again."""
    world = World()
    calls = 0

    def counted(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        return does(*arguments)

    world.process.apply = counted  # type: ignore[method-assign,assignment]
    await world.executor.on_decision(decision())
    await world.executor.idle()
    await world.done()
    assert (world.state(), calls) == (RunState.UNKNOWN, 1)
    assert "step.unknown" in world.story


@pytest.mark.parametrize(
    "result",
    [
        StepResult("done", TargetState("many", 1), {}),  # type: ignore[arg-type]
        StepResult("done", None, {"a": Odd(), 3: b"x"}),  # type: ignore[dict-item]
        StepResult(Odd(), Odd()),  # type: ignore[arg-type]
    ],
)
async def test_an_odd_answer_of_an_effect_that_happened(result: StepResult) -> None:
    world = World()
    world.process.apply = _answers(result)  # type: ignore[method-assign]
    await world.suffer()
    await world.executor.on_decision(decision())
    await world.executor.idle()
    await world.run_to(10, error=0.0)
    await world.done()
    assert world.state() is RunState.SUCCEEDED
    assert world.story.count("step.applied") == 1


@pytest.mark.parametrize("does", [*FOREIGN, pytest.param(_answers("perhaps"), id="another-word")])
async def test_applied(does: Any) -> None:
    """After a crash between intent and outcome."""
    world = World()
    world.process.block = asyncio.Event()
    await world.executor.on_decision(decision())
    for _ in range(30):
        await asyncio.sleep(0)
    assert len(world.process.requests) == 1
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    await asyncio.sleep(0)
    world.process.applied = does  # type: ignore[method-assign]
    world.born()
    await world.executor.resume()
    await world.executor.idle()
    await world.done()
    assert (world.state(), len(world.process.requests)) == (RunState.UNKNOWN, 1)
    assert not world.executor.runs


async def test_a_step_that_undoes_ends_too_when_it_is_too_late() -> None:
    world = World()
    for second in range(-40, 0):
        await world.executor.on_evidence(frame(T0 + second * SECOND, {"cart": (50.0, 0.01 if second < -5 else 0.6)}))
    await world.executor.on_decision(decision("scale-out"))
    await world.executor.idle()
    world.process.describe = _raises(KeyError("spec"))  # type: ignore[method-assign]
    await world.run_to(10, error=1.0)
    assert world.state() is RunState.ROLLING_BACK
    await world.run_to(900, error=1.0)
    await world.done()
    assert (world.state(), world.story[-1], dict(world.executor.runs)) == (RunState.FAILED, "run.failed", {})


def test_what_is_kept_of_a_state_is_what_a_restart_reads() -> None:
    state = TargetState(2, 1, "v1", instances=["a", "b"], detail={"a": "b"})  # type: ignore[arg-type]
    assert actuator_calls.storable_state(state) == replace(state, instances=("a", "b"))
    assert actuator_calls.storable_state(None) is None
