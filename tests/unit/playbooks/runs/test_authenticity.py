"""What is believed of decisions and approvals: only what this installation decided, and what answers exactly that."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import msgspec
import pytest

from contracts.errors import Permanent
from contracts.events import Approval, Decision
from contracts.settings import ActSettings
from contracts.units import SECOND
from contracts.verdicts import Autonomy, DecisionVerdict, RunState
from playbooks.runs import Executor, run_of
from playbooks.runs.authenticity import digest_of
from playbooks.runs.journal_records import save_approval
from tests.unit.playbooks.runs.support import BOUND, RESTART, SCALE, T0, World, approval, control, decision


@pytest.fixture
async def world() -> AsyncIterator[World]:
    built = World()
    yield built
    await built.done()


async def come(world: World, given: Decision) -> None:
    """It comes from the topic, whoever wrote it."""
    await Executor.on_decision(world.executor, given)


FORGERIES = {
    "out of the blue": decision(name="never"),
    "another target": decision(target="db"),
    "another playbook": decision("scale-out"),
    "another verdict": decision(verdict=DecisionVerdict.ASK),
    "another autonomy": decision(autonomy=Autonomy.SUGGEST),
    "another time": decision(now_ns=T0 + 1),
    "another environment": msgspec.structs.replace(decision(), environment="elsewhere"),
}


@pytest.mark.parametrize("forged", FORGERIES.values(), ids=FORGERIES)
async def test_a_decision_of_somebody_else_is_refused(world: World, forged: Decision) -> None:
    world.executor.issued(decision(autonomy=Autonomy.ACT))
    with pytest.raises(Permanent) as caught:
        await come(world, forged)
    assert caught.value.reason == "unproven"
    what = (
        "is not what was decided under that name" if forged.id == decision().id else "is not one of this environment's"
    )
    assert what in str(caught.value)
    await world.run_to(3)
    assert (world.process.requests, world.actions) == ([], [])
    await come(world, decision())
    await world.run_to(6)
    assert len(world.process.applied_keys) == 1, "the real one is carried out all the same"


async def test_a_decision_of_a_former_owner_is_believed_as_far_as_the_journal_outlived_him(world: World) -> None:
    world.executor.issued(decision())
    world.born()
    await come(world, decision())
    await world.run_to(3)
    assert len(world.process.applied_keys) == 1


async def test_where_others_decide_their_decisions_are_carried_out() -> None:
    world = World(settings=ActSettings(foreign_decisions=True, environments=BOUND))
    await come(world, decision())
    await world.run_to(3)
    assert len(world.process.applied_keys) == 1
    await world.done()


@pytest.mark.parametrize(
    ("own", "state", "effects"),
    [
        (Autonomy.OBSERVE, RunState.REFUSED, 0),
        (Autonomy.SUGGEST, RunState.AWAITING_APPROVAL, 0),
        (Autonomy.ACT, RunState.SUCCEEDED, 1),
    ],
)
async def test_nobody_decides_above_what_this_process_is_set_to(own: Autonomy, state: RunState, effects: int) -> None:
    world = World(settings=ActSettings(foreign_decisions=True, environments=BOUND))
    world.autonomy = own
    world.born()
    await world.suffer()
    await come(world, decision(autonomy=Autonomy.ACT))
    await world.executor.idle()
    await world.run_to(5)
    assert (world.state(), len(world.process.requests)) == (state, effects)
    await world.done()


async def test_settings_that_became_stricter_hold_for_runs_under_way() -> None:
    """Approved under `suggest`, then started anew with `observe`."""
    world = World(replace(RESTART, tier=3))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    await world.done()
    world.autonomy = Autonomy.OBSERVE
    world.born()
    await world.executor.resume()
    await world.executor.on_approval(approval())
    await world.run_to(5)
    assert (world.state(), world.process.requests) == (RunState.REFUSED, [])
    await world.done()


# --- approvals


def answer(**changes: object) -> Approval:
    return msgspec.structs.replace(approval(), **changes)


BAD_ANSWERS = {
    "of another environment": answer(environment="elsewhere"),
    "to another decision": answer(decision="d2"),
    "from before the decision": answer(time_ns=T0 - 1),
    "with another digest": answer(digest=digest_of(decision("scale-out"))),
    "from before with a digest made up": answer(time_ns=T0 - 1, digest="0" * 64),
}


@pytest.mark.parametrize("bad", BAD_ANSWERS.values(), ids=BAD_ANSWERS)
async def test_an_answer_that_is_none_is_refused_and_is_not_in_the_way_of_one(bad: Approval) -> None:
    world = World(replace(RESTART, tier=3))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert world.state() is RunState.AWAITING_APPROVAL
    with pytest.raises(Permanent) as caught:
        await world.executor.on_approval(bad)
    assert caught.value.reason == "unproven"
    await world.run_to(2)
    assert (world.state(), world.process.requests) == (RunState.AWAITING_APPROVAL, [])
    await world.executor.on_approval(approval())
    await world.run_to(6)
    assert len(world.process.applied_keys) == 1
    await world.done()


async def test_an_answer_before_its_question_is_none() -> None:
    world = World(replace(RESTART, tier=3))
    with pytest.raises(Permanent):
        await world.executor.on_approval(answer(time_ns=T0 + 10 * SECOND))
    await world.executor.on_decision(decision())
    await world.run_to(2)
    assert (world.state(), world.process.requests) == (RunState.AWAITING_APPROVAL, [])
    await world.done()


async def test_who_read_the_decision_may_have_any_clock() -> None:
    world = World(replace(RESTART, tier=3))
    world.executor.issued(decision())
    await world.executor.on_approval(answer(time_ns=1, digest=digest_of(decision())))
    await world.executor.on_decision(decision())
    await world.run_to(5)
    assert len(world.process.applied_keys) == 1, "it came before the run, and after the decision"
    await world.done()


async def test_an_answer_of_another_environment_that_is_kept_already_is_none() -> None:
    """As an earlier release may have kept it."""
    world = World(replace(RESTART, tier=3))
    save_approval(world.journal, answer(environment="elsewhere"))
    await world.executor.on_decision(decision())
    await world.run_to(3)
    assert (world.state(), world.process.requests) == (RunState.AWAITING_APPROVAL, [])
    await world.done()


async def test_a_run_that_is_over_wants_no_answer(world: World) -> None:
    await world.suffer()
    await world.executor.on_decision(decision())
    await world.executor.idle()
    await world.run_to(5)
    await world.executor.on_approval(approval(now_ns=T0 + 5 * SECOND))
    assert world.journal.get("approval/d1") is None
    assert world.journal.entries[run_of("d1")].state is RunState.SUCCEEDED


async def test_an_approval_does_not_outweigh_a_stop() -> None:
    world = World(replace(SCALE, tier=3))
    await world.executor.on_decision(decision("scale-out"))
    await world.executor.on_control(control(acting=False))
    await world.executor.on_approval(approval())
    await world.run_to(3)
    assert (world.state(), world.process.requests) == (RunState.CANCELLED, [])
    await world.done()
