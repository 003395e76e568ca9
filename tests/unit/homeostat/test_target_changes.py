"""What became of targets between two looks: told where it was not our doing, once, and dated when it was last seen as before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.events import PLATFORM, ReportedRun
from contracts.targets import Identity, TargetState
from contracts.units import SECOND
from contracts.verdicts import RunState
from homeostat.target_changes import APART_NS, OURS_NS, TargetChanges

NOW = 1_700_000_000 * SECOND
NEXT = NOW + 2 * SECOND
CART = Identity("kubernetes:1", "Deployment", "cart", "shop", "u1")
STATE = TargetState(3, 3, version="v2", previous_version="v1", generation="4", identity=CART)


def run(state: RunState, updated_ns: int, target: str = "cart", identities: tuple[str, ...] = ()) -> ReportedRun:
    return ReportedRun(
        run="r",
        decision="d",
        target=target,
        playbook="p",
        state=state,
        created_ns=updated_ns,
        updated_ns=updated_ns,
        identities=identities,
    )


def told(after: TargetState, *runs: ReportedRun, at_ns: int = NEXT) -> list[tuple[str, str, str]]:
    looks = TargetChanges("prod")
    assert looks.found({"cart": (STATE, NOW)}, ()) == [], "of the first look nothing is news"
    looks.keep({"cart": (STATE, NOW)})
    found = looks.found({"cart": (after, at_ns)}, runs)
    assert all((c.time_ns, c.actor, c.service, c.environment) == (NOW, PLATFORM, "cart", "prod") for c in found)
    return [(c.kind, c.before, c.after) for c in found]


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (STATE, []),
        (replace(STATE, ready=0, generation="5", instances=("a",)), []),
        (replace(STATE, version="v3", previous_version="v2"), [("deploy", "v2", "v3")]),
        (replace(STATE, version="v1", previous_version="v2"), [("rollback", "v2", "v1")]),
        (replace(STATE, version="v3", replicas=5), [("deploy", "v2", "v3")]),
        (replace(STATE, previous_version="v2#7d9f"), [("config", "", "")]),
        (replace(STATE, previous_version=""), []),
        (replace(STATE, previous_version="v0"), []),
        (replace(STATE, replicas=1), [("scale", "3", "1")]),
        (replace(STATE, replicas=5), [("scale", "3", "5")]),
        (replace(STATE, version=""), []),
        (replace(STATE, version="v3", identity=replace(CART, uid="u2")), []),
    ],
)
def test_what_is_otherwise_is_told_as_what_it_is(after: TargetState, expected: list[tuple[str, str, str]]) -> None:
    assert told(after) == expected


def test_what_we_did_ourselves_is_no_news() -> None:
    after = replace(STATE, version="v1", previous_version="v2")
    assert told(after, run(RunState.RUNNING, NOW)) == []
    assert told(after, run(RunState.SUCCEEDED, NOW - 5 * SECOND)) == []
    assert told(after, run(RunState.RUNNING, NOW, target="alias", identities=(CART.key,))) == []
    assert told(after, run(RunState.RUNNING, NOW, target="other"))
    assert told(after, run(RunState.AWAITING_APPROVAL, NOW)), "what waits for a person has done nothing"
    assert told(after, run(RunState.SUCCEEDED, NEXT - OURS_NS - 1))


def test_looks_far_apart_do_not_say_when_it_was() -> None:
    after = replace(STATE, version="v3")
    assert told(after, at_ns=NOW + APART_NS) == [("deploy", "v2", "v3")]
    assert told(after, at_ns=NOW + APART_NS + 1) == []


def test_it_is_told_once_and_again_only_if_it_was_not_kept() -> None:
    looks, after = TargetChanges("prod"), {"cart": (replace(STATE, version="v3"), NEXT)}
    looks.keep({"cart": (STATE, NOW)})
    assert len(looks.found(after, ())) == 1 == len(looks.found(after, ()))
    looks.keep(after)
    assert looks.found(after, ()) == []
