"""The limit on what is acted on at once counts services at work, not names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.frames import Presence
from contracts.ports import RunEntry, Target, TargetState
from contracts.settings import ActSettings
from contracts.units import MINUTE, SECOND
from contracts.verdicts import Conduct, HeldReason, RunState
from playbooks.guards import GuardContext, Standing
from playbooks.guards.guarding import innocent
from playbooks.guards.serving import KEPT, LEAST, Serving, share_of, within
from playbooks.language.model import Guards, Step
from tests.unit.playbooks.runs.support import BOUND, RESTART, T0, World, decision, frame

REAL = {f"s{n}": (50.0, 0.0) for n in range(7)} | {"cart": (50.0, 0.0)}
MADE_UP = {f"job-{n}": (50.0, 0.0) for n in range(500)}
START = T0 // MINUTE * MINUTE


def after(frames: list[tuple[int, dict[str, tuple[float, float]]]]) -> frozenset[str]:
    serving = Serving()
    for minute, rows in frames:
        serving.observe(frame(START + minute * MINUTE, rows))
    return serving.established()


def test_who_served_for_some_minutes_counts_and_a_burst_of_names_does_not() -> None:
    assert after([(n, REAL) for n in range(LEAST - 1)]) == frozenset()
    assert after([(n, REAL) for n in range(LEAST)]) == REAL.keys()
    assert after([(n, REAL) for n in range(LEAST)] + [(LEAST - 1, MADE_UP)] * 50) == REAL.keys()
    late = [(LEAST - n, MADE_UP) for n in range(3)]  # as late as telemetry may be
    assert after([(n, REAL) for n in range(LEAST)] + late) == REAL.keys()


def test_five_of_the_last_ten_minutes_are_enough() -> None:
    """In numbers, as operators read of them: a limit that follows its own constant would hold for any."""
    assert after([(n, REAL) for n in (0, 2, 4, 6)]) == frozenset()
    assert after([(n, REAL) for n in (0, 2, 4, 6, 9)]) == REAL.keys()
    assert after([(n, REAL) for n in (0, 2, 4, 6, 10)]) == frozenset()


def test_who_has_ceased_counts_for_some_minutes_still() -> None:
    before = [(n, REAL) for n in range(LEAST)]
    assert after([*before, (KEPT - 1, {"cart": (1.0, 0.0)})]) == REAL.keys()
    assert after([*before, (KEPT, {"cart": (1.0, 0.0)})]) == {"cart"}
    assert after([(KEPT + LEAST, REAL), *before]) == frozenset(), "what is older than that is not kept"
    late = [(KEPT, REAL), *((n, REAL) for n in range(LEAST - 1))]
    assert after(late) == frozenset(), (
        "of the minute that has just left the last ones nothing counts, however late it comes"
    )
    assert after([*late, (LEAST - 1, REAL)]) == REAL.keys()


def test_a_snapshot_knows_who_served_and_when() -> None:
    serving, other = Serving(), Serving()
    for minute in range(LEAST - 1):
        serving.observe(frame(START + minute * MINUTE, REAL))
    other.load(serving.state())
    assert other.state() == serving.state() != Serving().state()
    other.observe(frame(START + (LEAST - 1) * MINUTE, REAL))
    assert other.established() == REAL.keys()
    other.observe(frame(START - KEPT * MINUTE, MADE_UP))
    assert other.established() == REAL.keys(), "how far time has come is known as well"


def test_a_share_is_of_all_who_work_or_are_touched() -> None:
    assert share_of((), ()) == 0.0
    assert share_of(("a", "a"), ("b", "c")) == pytest.approx(1 / 3)
    assert share_of(("a",), ("a", "b", "c", "d")) == 0.25
    assert within(("a",), (), 0.0), "one service always may be"
    ten = [f"s{n}" for n in range(10)]
    assert [within(ten[:n], ten, 0.3) for n in (2, 3, 4)] == [True, True, False]


def test_silence_and_metrics_of_something_else_are_no_requests() -> None:
    serving = Serving()
    for minute in range(KEPT):
        row = frame(START + minute * MINUTE, {"a": (50.0, 0.0)})
        serving.observe(replace(row, services=("quiet",), counts=np.zeros(1, np.int64)))
        serving.observe(replace(row, services=("missing",), presence=np.array([Presence.MISSING], np.int8)))
        serving.observe(replace(row, services=("logs",), signal="logs"))
        serving.observe(replace(row, services=("cpu",), signal="metrics", features=("cpu_utilization", "restarts")))
        told = replace(row, services=("told",), signal="metrics", features=("metric_request_rate", "restarts"))
        serving.observe(told)
        serving.observe(replace(told, services=("none",), values=np.array([[np.nan, 0.0]])))
        serving.observe(replace(told, services=("idle",), values=np.array([[0.0, 0.0]])))
    assert serving.established() == {"told"}


@pytest.mark.parametrize(("others", "allowed"), [(("s1",), True), (("s1", "s2"), False)])
async def test_names_made_up_allow_no_more_to_be_acted_on_at_once(others: tuple[str, ...], allowed: bool) -> None:
    settings = ActSettings.model_validate({"environments": BOUND, "max_concurrent": 9})
    world = World(replace(RESTART, guards=Guards(blast_radius=0.3, max_concurrent=9)), settings=settings)
    for name in others:
        world.journal.entries[name] = RunEntry(
            name, "d-" + name, "test", name, "p-" + name, RunState.RUNNING, T0 - SECOND, T0, 1, {}
        )
    for minute in range(-LEAST, 0):
        await world.executor.on_evidence(frame(T0 + minute * MINUTE, REAL))
    failing = REAL | MADE_UP | {"cart": (50.0, 0.5)}
    for second in range(1, 50):
        await world.executor.on_evidence(frame(T0 + second * SECOND, failing, ill=["cart"]))
    await world.executor.on_decision(decision())
    await world.executor.idle()
    assert len(world.process.applied_keys) == allowed
    assert (world.state() is RunState.REFUSED) is not allowed
    world.journal.entries = {name: e for name, e in world.journal.entries.items() if name not in others}
    await world.done()
    assert (HeldReason.BLAST_RADIUS in [r.data.get("reason") for r in world.actions]) is not allowed


@pytest.mark.parametrize(
    ("actions", "said", "held"),
    [
        (("rollback",), {"conduct": Conduct.WORSE, "partly": True}, None),  # it mends an operation, too
        (("rollback", "restart"), {"conduct": Conduct.WORSE, "partly": True}, HeldReason.UNPROVEN),
        (("restart",), {"conduct": Conduct.WORSE, "partly": True}, HeldReason.UNPROVEN),
        (("restart",), {"conduct": Conduct.WORSE}, None),
        (("scale",), {"conduct": Conduct.WORSE, "partly": True}, HeldReason.UNPROVEN),
        (("scale",), {"conduct": Conduct.WORSE, "partly": True, "demand": True}, None),
        (("scale", "restart"), {"conduct": Conduct.WORSE, "partly": True, "demand": True}, HeldReason.UNPROVEN),
        (("scale",), {"conduct": Conduct.AS_BEFORE, "demand": True}, None),
        (("scale", "restart"), {"conduct": Conduct.AS_BEFORE, "demand": True}, HeldReason.INNOCENT),
        (("scale",), {"conduct": Conduct.AS_BEFORE}, HeldReason.INNOCENT),
        (("wait",), {"conduct": Conduct.AS_BEFORE}, None),
        (("restart",), {"conduct": Conduct.UNKNOWN, "young": True}, HeldReason.UNPROVEN),
        (("restart",), {"conduct": Conduct.UNKNOWN}, None),
    ],
)
def test_a_playbook_is_let_through_if_all_that_it_does_suits_how_the_target_answers(
    actions: tuple[str, ...], said: dict[str, Any], held: HeldReason | None
) -> None:
    playbook = replace(RESTART, steps=tuple(Step(f"s{n}", action) for n, action in enumerate(actions)))
    context = GuardContext(now_ns=T0, standing=Standing(text="so it is", **said))
    for ready, reason in ((2, held), (1, held if said["conduct"] is Conduct.WORSE else None)):
        state = TargetState(2, ready, version="1.1", previous_version="1.0")
        found = innocent(playbook, Target("test", "cart", {}), state, context)
        assert (found.reason if found else None) is reason, "instances that are not ready are a reason of their own"
