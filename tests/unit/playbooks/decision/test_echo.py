"""One failure that is two incidents for a while is repaired once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.ports import RunEntry
from contracts.targets import Identity
from contracts.verdicts import DecisionVerdict, HeldReason, RunState
from playbooks.decision import decide
from playbooks.decision.echo import ECHOES_S
from tests.unit.playbooks.decision.test_deciding import HANG, LIBRARY, NOW, SETTINGS, WORLD, S


def ended(state: RunState, seconds: float, target: str = "cart", identities: tuple[str, ...] = ()) -> RunEntry:
    at = NOW - int(seconds * S)
    return RunEntry("r", "d", "prod", target, "restart-failing-service", state, at, at, 1, {}, identities=identities)


@pytest.mark.parametrize(
    ("run", "waits"),
    [
        (ended(RunState.SUCCEEDED, ECHOES_S - 1), True),
        (ended(RunState.SUCCEEDED, ECHOES_S), False),
        (ended(RunState.INCONCLUSIVE, 5), False),
        (ended(RunState.SUCCEEDED, 5, target="web"), False),
    ],
)
def test_what_helped_a_moment_ago_is_given_time_whatever_else_would_be_done(run: RunEntry, waits: bool) -> None:
    """A drill's hung service was restarted for one incident and, seven seconds later, for another of the same failure."""
    found = decide(HANG, replace(WORLD, history=(run,)), LIBRARY, SETTINGS)
    assert (found.verdict is DecisionVerdict.ACT) is not waits
    option = next(o for o in found.options if o.playbook == "restart-hung-service")
    assert (option.held is HeldReason.CONCURRENCY) is waits
    assert ("restart-failing-service helped cart 19s ago" in option.why) is waits


def test_the_same_thing_by_another_name_is_the_same_thing() -> None:
    state = WORLD.targets["cart"]
    assert state is not None
    known = replace(state, identity=Identity("process:here", "service", "cart"))
    run = ended(RunState.SUCCEEDED, 5, target="shop-cart", identities=(known.identity.key,) if known.identity else ())
    world = replace(WORLD, targets={**WORLD.targets, "cart": known}, history=(run,))
    assert decide(HANG, world, LIBRARY, SETTINGS).verdict is not DecisionVerdict.ACT
