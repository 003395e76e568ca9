"""An effect that makes no sense on its target is refused before it: what has no replicas, no known state, nothing to go back to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.ports import TargetState
from contracts.verdicts import RunState
from playbooks.language.model import Step
from playbooks.runs.plan import Surroundings, plan_of
from playbooks.runs.preflight import senseless
from tests.unit.playbooks.runs.support import RESTART, T0, World, decision

TWO = TargetState(2, 2, version="1.1", previous_version="1.0")


@pytest.mark.parametrize(
    ("tier", "action", "state", "text"),
    [
        (2, "restart", None, "the state of cart is not known"),
        (2, "restart", replace(TWO, replicas=0, ready=0), "cart is scaled to 0: nothing to restart"),
        (2, "restart", replace(TWO, replicas=1, ready=1), ""),
        (2, "rollback", TWO, "cart has no other version to go to"),  # that is said without a version
        (1, "restart", None, ""),  # tier 1 is harmless at worst
        (2, "webhook", None, ""),  # what doesn't touch the target needs no state
    ],
)
def test_what_makes_no_sense_is_refused(tier: int, action: str, state: TargetState | None, text: str) -> None:
    book = replace(RESTART, tier=tier)
    plan = plan_of(decision(), book, now_ns=T0, surroundings=Surroundings())
    held = senseless(plan, Step("do", action), {}, state)
    assert ("" if held is None else held.text) == text


@pytest.mark.parametrize(("replicas", "done"), [(0, 0), (1, 1)])
async def test_what_is_scaled_to_nothing_is_not_restarted(replicas: int, done: int) -> None:
    world = World(replace(RESTART, tier=2))
    world.process.state = replace(TWO, replicas=replicas, ready=replicas)
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert len(world.process.requests) == done
    assert (world.state() is RunState.REFUSED) is not done
    await world.done()
