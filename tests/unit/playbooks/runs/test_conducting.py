"""Pre-flights of one target wait for each other, a decision is acted on up to its last moment, a person reads why they are asked."""

from __future__ import annotations

import asyncio
import dataclasses

import pytest
from msgspec.structs import replace

from contracts.errors import TargetNotFound
from contracts.ports import Identity, Target, TargetState
from contracts.settings import ActSettings, BindingSettings
from contracts.verdicts import Autonomy, DecisionVerdict, RunState
from playbooks.guards import Held
from playbooks.language.model import Step
from playbooks.runs import commands
from playbooks.runs.effects import Aim, Prepared, find_target, prepare
from playbooks.runs.identities import identity_data, identity_from
from playbooks.runs.plan import ROLLBACK_PREFIX, Surroundings, plan_of
from playbooks.runs.run import Run
from tests.patience import PATIENCE_S
from tests.unit.playbooks.runs.support import BOUND, RESTART, T0, Process, World, decision

TWO = ActSettings(audit_ack_s=PATIENCE_S, environments={"test": BindingSettings(), "other": BindingSettings()})


def run_in(environment: str, name: str, target: str = "cart") -> Run:
    given = replace(decision(name=name, target=target), environment=environment)
    return Run(plan_of(given, RESTART, now_ns=T0, surroundings=Surroundings()), 1)


@pytest.mark.parametrize(("target", "waits"), [("cart", True), ("nobody", False)])
async def test_preflights_on_one_target_exclude_each_other_whatever_environment_they_are_of(
    target: str, waits: bool
) -> None:
    conductor = World(settings=TWO).executor._conductor
    entered, work = asyncio.Event(), commands.Preflight(approved=False)

    async def second() -> None:
        async with conductor.exclusive(run_in("other", "d2", target), work):
            entered.set()

    async with conductor.exclusive(run_in("test", "d1", target), work):
        task = asyncio.create_task(second())
        for _ in range(50):
            await asyncio.sleep(0)
        assert entered.is_set() is not waits, "what can't be found is of nobody, and holds nobody up"
    async with asyncio.timeout(PATIENCE_S):
        await task


@pytest.mark.parametrize(("late_ns", "acts"), [(0, True), (1, False)])
async def test_a_decision_is_acted_on_up_to_the_moment_when_it_is_too_old(late_ns: int, acts: bool) -> None:
    world = World()
    age_ns = world.executor._conductor._expiry.decision_ns
    await world.suffer()
    await world.executor.on_decision(decision(now_ns=T0 - age_ns - late_ns))
    await world.executor.idle()
    assert bool(world.process.requests) is acts
    await world.done()


@pytest.mark.parametrize(
    ("verdict", "autonomy", "why"),
    [
        (DecisionVerdict.ASK, Autonomy.ACT, "a person was to be asked"),
        (DecisionVerdict.ACT, Autonomy.SUGGEST, "autonomy is suggest"),
    ],
)
async def test_a_person_reads_why_they_are_asked(verdict: DecisionVerdict, autonomy: Autonomy, why: str) -> None:
    world = World()
    await world.suffer()
    await world.executor.on_decision(decision(verdict=verdict, autonomy=autonomy))
    await world.executor.idle()
    assert world.state() is RunState.AWAITING_APPROVAL
    await world.done()
    (text,) = (r.text for r in world.actions if r.state is RunState.AWAITING_APPROVAL)
    assert f"needs an approval: {why}" in text


def test_an_identity_is_read_back_as_it_was_written_and_none_stays_none() -> None:
    identity = Identity("process:here", "service", "cart", uid="u1")
    assert identity_from(identity_data(identity)) == identity
    assert identity_from(identity_data(None)) is None


@pytest.mark.parametrize("stopped", [False, True])
async def test_what_is_decided_after_the_end_is_left_to_the_next_life(stopped: bool) -> None:
    world = World()
    await world.suffer()
    if stopped:
        await world.executor.stop()
    await world.executor.on_decision(decision())
    for _ in range(200):
        await asyncio.sleep(0)
    assert (world.state() is RunState.PENDING) is stopped
    await world.done()


@pytest.mark.parametrize(("name", "makes_sense"), [("grow", False), (f"{ROLLBACK_PREFIX}grow", True)])
def test_going_back_need_not_make_sense_on_the_target_as_it_is(name: str, makes_sense: bool) -> None:
    book = dataclasses.replace(RESTART, tier=2)
    plan = plan_of(decision(), book, now_ns=T0, surroundings=Surroundings())
    state = TargetState(0, 0, version="1.1", previous_version="1.0")
    aim = Aim(Process(), Identity("process:here", "service", "cart"), state)
    effect = prepare(plan, name, Step("grow", "restart"), "k", aim, state, mark=None)
    assert isinstance(effect, Prepared) is makes_sense


async def test_of_a_target_that_nobody_finds_the_first_who_can_is_told_or_says_why_not() -> None:
    """A webhook tells somebody: it needs no state of what it is about."""

    class Hook(Process):
        async def resolve(self, target: Target) -> Identity:
            if target.service == "lost":
                raise TargetNotFound("no such thing")
            return self.identity

    hooks = tuple(Hook(name=name, actions=frozenset({"webhook"})) for name in ("first", "second"))
    aims = []
    for target in ("gone", "lost"):
        given = decision(target=target)
        plan = plan_of(given, RESTART, now_ns=T0, surroundings=Surroundings())
        aims.append(await find_target(plan, "webhook", hooks, ActSettings(environments=BOUND)))
    told, refused = aims
    assert isinstance(told, Aim)
    assert (told.actuator, told.identity, told.state) == (hooks[0], hooks[0].identity, None)
    assert isinstance(refused, Held)
    assert refused.text == "first can't describe lost: no such thing"
