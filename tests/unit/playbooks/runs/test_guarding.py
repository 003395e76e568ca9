"""What a run is asked right before it acts: what counts before its first effect and not after it, and which objection is told."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from contracts.errors import PolicyUnavailable
from contracts.ports import PolicyVerdict
from contracts.units import SECOND
from contracts.verdicts import Conduct, DecisionVerdict, HeldReason, RunState
from playbooks.guards import Standing
from playbooks.language.model import Step
from playbooks.runs.conductor import RETRY_S
from playbooks.runs.effects import Aim
from playbooks.runs.guarding import guarded
from playbooks.runs.identities import elsewhere
from playbooks.runs.plan import Surroundings, plan_of
from playbooks.runs.telemetry_view import TelemetryView
from tests.unit.playbooks.runs.support import RESTART, T0, World, decision


class Seen(TelemetryView):
    """What telemetry says of the target."""

    def __init__(self, said: Standing) -> None:
        super().__init__()
        self.said = said

    def standing(self, target: str, onset_ns: int) -> Standing:
        return self.said


@pytest.mark.parametrize(
    ("said", "before"),
    [
        (Standing(Conduct.AS_BEFORE, "it answers as before"), HeldReason.INNOCENT),
        (Standing(Conduct.UNKNOWN, "two requests", young=True), HeldReason.UNPROVEN),
        (Standing(Conduct.UNKNOWN, "two requests"), None),
        (Standing(Conduct.WORSE, "more fail"), None),
        (Standing(Conduct.WORSE, "its slowest are slower", partly=True), None),
    ],
)
def test_how_the_target_answers_is_asked_until_a_run_has_had_an_effect(
    said: Standing, before: HeldReason | None
) -> None:
    world = World()
    plan = plan_of(decision(), RESTART, now_ns=T0, surroundings=Surroundings())
    aim = Aim(world.process, world.process.identity, world.process.state)
    first, later = (
        guarded(plan, aim, (), Seen(said), world.executor._w, untouched=untouched) for untouched in (True, False)
    )
    assert (first.reason if first else None) is before
    assert later is None, "whether it is well now is the run's own doing"


@dataclass
class ByAction:
    """A policy engine that answers by action."""

    verdicts: Mapping[str, PolicyVerdict]
    asked: list[str] = field(default_factory=list)

    async def evaluate(self, document: Mapping[str, Any]) -> PolicyVerdict:
        self.asked.append(document["action"]["kind"])
        return self.verdicts[document["action"]["kind"]]

    async def close(self) -> None:
        pass


ALLOWED = PolicyVerdict(allowed=True)
ASK = PolicyVerdict(allowed=False, needs_approval=True)
DENIED = PolicyVerdict(allowed=False, denials=("not this one",))
TWO = replace(RESTART, steps=(Step("grow", "scale", {"by": 1}), Step("restart", "restart", needs=("grow",))))


@pytest.mark.parametrize(
    ("grow", "restart", "state"),
    [
        (ASK, DENIED, RunState.REFUSED),
        (DENIED, ASK, RunState.REFUSED),
        (ASK, ALLOWED, RunState.AWAITING_APPROVAL),
        (ALLOWED, ASK, RunState.AWAITING_APPROVAL),
        (ASK, ASK, RunState.AWAITING_APPROVAL),
    ],
)
async def test_nobody_is_asked_to_agree_to_what_is_refused_anyway(
    grow: PolicyVerdict, restart: PolicyVerdict, state: RunState
) -> None:
    world = World(TWO)
    world.policy = ByAction({"scale": grow, "restart": restart})  # type: ignore[assignment]
    executor = world.born()
    await executor.on_decision(decision())
    await executor.idle()
    assert (world.state(), world.process.requests) == (state, [])
    await world.done()


async def test_what_may_clear_is_asked_again_until_two_moments_before_it_is_too_late() -> None:
    world = World()
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.executor.on_decision(decision())
    await world.run_to(world.settings.decision_expiry_s, error=0.6)
    assert world.state() is RunState.REFUSED
    ended = next(iter(world.journal.entries.values())).updated_ns
    assert (ended - T0) / SECOND == pytest.approx(world.settings.decision_expiry_s - 2 * RETRY_S, abs=RETRY_S / 2)
    await world.done()


async def test_a_run_that_waits_looks_at_nothing_meanwhile() -> None:
    world = World()
    world.policy.verdict = PolicyUnavailable("opa is away")
    await world.executor.on_decision(decision())
    await world.executor.idle()
    asked, looked = len(world.policy.asked), []
    world.journal.load = looked.append  # type: ignore[assignment,method-assign,return-value]
    for _ in range(100):
        await asyncio.sleep(0)
    assert (len(world.policy.asked), looked) == (asked, [])
    del world.journal.load
    await world.done()


@pytest.mark.parametrize(
    ("verdict", "told"),
    [(DecisionVerdict.ACT, []), (DecisionVerdict.NOTHING, []), (DecisionVerdict.ASK, ["decision.asked"])],
)
async def test_of_a_playbook_that_is_not_there_only_what_a_person_is_asked_is_on_record(
    verdict: DecisionVerdict, told: list[str]
) -> None:
    world = World()
    before = dict(world.journal.kept)
    for _ in range(2):
        world.executor.issued(decision("no-such-playbook", verdict=verdict))
    assert (world.journal.kept == before) == (not told)
    await world.done()
    assert [story.split(".")[-1] for story in world.story] == [one.split(".")[-1] for one in told]
    assert world.journal.entries == {}


def test_what_other_environments_did_to_the_same_thing_counts() -> None:
    world = World()
    for run, environment, key in (("r1", "stage", "k1"), ("r2", "stage", "k2"), ("r3", "test", "k1")):
        world.journal.create(
            run=run, decision=run, environment=environment, target="cart", playbook="p", definition={}, now_ns=T0
        )
        world.journal.put(f"identity/{run}", {"steps": {}, "keys": [key]}, environment)
    plan = plan_of(decision(), RESTART, now_ns=T0, surroundings=Surroundings())
    assert [(r.run, r.identities) for r in elsewhere(world.journal, plan, "k1", T0)] == [("r1", ("k1",))]
    assert elsewhere(world.journal, plan, "k1", T0 + 1) == [], "that was long ago"
    assert elsewhere(world.journal, plan, "k9", T0) == []
