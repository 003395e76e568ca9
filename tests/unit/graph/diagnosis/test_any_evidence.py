"""Whatever evidence comes, in whatever combination: it is weighed, and nothing breaks; and a case that breaks holds up no other."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest

from contracts import features as f
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND as S
from graph.diagnosis import DiagnosisEngine, engine
from graph.diagnosis.assess import Assessment
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.grouping import Group
from graph.ranking import rank
from graph.world.world import World
from tests.unit.graph.diagnosis import scenarios, shop
from tests.unit.graph.diagnosis.shop import Fault
from tests.unit.graph.diagnosis.test_grouping import anomaly

ONSET = 1_780_000_000 * S
LEVELS = (0.0, 1e-9, 0.001, 0.05, 0.3, 0.3, 1.0, 2.0, 40.0)
"""Repeated: before and after are often the same, or nothing."""
OF_NODES = (*f.BY_SIGNAL[f.Signal.SPANS], *f.BY_SIGNAL[f.Signal.METRICS], f.LOG_ERROR_RATE, f.LOG_RATE)
OF_EDGES = (*f.BY_SIGNAL[f.Signal.EDGES], f.CALL_RATE)


def shifts(luck: random.Random, features: tuple[str, ...]) -> dict[str, Shift]:
    def level() -> float:
        return luck.choice(LEVELS)

    known = luck.choice((0.2, 0.6, 1.0))
    chosen = [name for name in sorted(set(features)) if luck.random() < known]
    return {
        name: Shift(
            name, luck.choice((level(), math.nan)), level(), luck.choice((-1, 1)) * luck.choice((0.0, 0.5, 8.0, 200.0)),
            luck.choice((0.0, 2.0, 30.0)), luck.choice((1.0, 5.0, 60.0)), luck.choice((0.0, 60.0)),
        )
        for name in chosen
    }  # fmt: skip


def any_situation(luck: random.Random) -> Situation:
    names = [f"s{i}" for i in range(luck.randint(1, 6))]
    nodes = {
        n: Node(
            n, own=luck.random() < 0.8, observer=luck.random() < 0.1, shifts=shifts(luck, OF_NODES),
            onset_ns=luck.choice((0, ONSET, ONSET + 3 * S)), known_ns=luck.choice((0, ONSET + 9 * S, ONSET + 9 * S)),
            lately={f.REQUEST_RATE: luck.choice(LEVELS)} if luck.random() < 0.5 else {},
        )
        for n in names
    }  # fmt: skip
    pairs = [(a, b) for a in names for b in names if luck.random() < 0.4]
    edges = {
        (a, b): Edge(
            a, b, shifts=shifts(luck, OF_EDGES), per_request_before=luck.choice((*LEVELS, math.nan)),
            per_request_after=luck.choice((*LEVELS, math.nan)), expected=luck.choice((0.0, 3.0, 200.0)),
            usual=luck.choice((0.0, 200.0, math.nan)), observed=luck.choice((0.0, 5.0, 200.0)),
            attempted=luck.choice((0.0, 40.0, 300.0, math.nan)), failed=luck.choice((0.0, 12.0, math.nan)),
            known_ns=luck.choice((0, ONSET + 9 * S)), in_part=luck.random() < 0.1,
        )
        for a, b in pairs
    }  # fmt: skip
    return Situation("shop", ONSET, ONSET + 10 * S, nodes, edges)


@pytest.mark.parametrize("seed", range(20))
def test_no_combination_of_evidence_breaks_the_ranking(seed: int) -> None:
    luck = random.Random(seed)
    for _ in range(60):
        situation = any_situation(luck)
        suspects = rank(situation, harmed=luck.random() < 0.5)
        assert suspects
        assert all(math.isfinite(s.score) and 0.0 <= s.probability <= 1.0 for s in suspects)
        assert all(math.isfinite(x.strength) for s in suspects for x in s.findings)
        assert sum(s.probability for s in suspects) <= 1.0 + 1e-6


def test_a_case_that_can_not_be_judged_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = engine.assess

    def breaks(world: World, group: Group, *rest: Any) -> Assessment | None:
        if "stranger" in group.services:
            raise ZeroDivisionError
        return real(world, group, *rest)

    faults = {"payment": Fault(fails=0.4)}
    expected = scenarios.incidents(scenarios.run(faults))
    monkeypatch.setattr(engine, "assess", breaks)
    hurt = DiagnosisEngine("shop", DiagnoseSettings())
    hurt.anomaly(anomaly("stranger", shop.START // S), shop.START)
    assert scenarios.incidents(scenarios.run(faults, hurt)) == expected
    assert hurt.counters["judgements_failed"] > 1
    assert len([r for r in caplog.records if "can't be judged" in r.message]) == 1, "said once, counted each time"
