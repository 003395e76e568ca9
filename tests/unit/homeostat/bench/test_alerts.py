"""Alerts that a data set ships ready made: what they say of a case, what is usual of a service, and what is learnt from labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from homeostat.bench.alert_sets import AlertHistory, findings_of, matter_of
from homeostat.bench.alert_tokens import choice_of, service_of
from homeostat.bench.cases import FailureCase, LabelledAlert
from homeostat.bench.chance_trees import ChanceTrees
from homeostat.bench.column_map import ColumnMap
from homeostat.bench.diagnosis import outcomes, suspects_of
from homeostat.bench.learnt import LearntRanker


def raised(entity: str, *names: str, detail: str = "up") -> tuple[LabelledAlert, ...]:
    return tuple(LabelledAlert(entity, "metric", n, detail) for n in names)


def case_of(name: str, truth: str, *alerts: LabelledAlert, fault: str = "") -> FailureCase:
    return FailureCase(name, fault, frozenset({truth}), ("a-1", "a-2", "b-1"), alerts=alerts)


def first(case: FailureCase, history: AlertHistory | None = None) -> str:
    return suspects_of(case, ColumnMap(), history=history)[0][0].service


def alerts_case(name: str, culprit: str, others: list[str]) -> FailureCase:
    said = [
        LabelledAlert(culprit, "metric", "disk_wait", "up"),
        *(LabelledAlert(o, "metric", "qps", "up") for o in others),
    ]
    said += [LabelledAlert(o, "trace", "GET /", "PD", "web") for o in others]
    return FailureCase(name, "disk", frozenset({culprit}), ("web", *others, culprit), alerts=tuple(said))


def test_alerts_become_evidence_and_callees_account_for_their_callers():
    alerts = (
        LabelledAlert("cart", "trace", "GET /cart", "PD", "web"),
        LabelledAlert("stock", "trace", "GET /stock", "PD", "cart"),
    )
    case = FailureCase(
        "a", "slow", frozenset({"stock"}), ("web", "cart", "stock"), calls=(("cart", "stock"),), alerts=alerts
    )
    found = {f.service: f for f in findings_of(case)}
    assert found["stock"].strength > found["cart"].strength
    assert found["cart"].explained_by == "stock"
    assert suspects_of(case, ColumnMap())[0][0].service == "stock"


def test_a_ranker_learns_what_alerts_tell_of_culprits():
    known = [alerts_case(f"k{i}", f"svc-{i}", [f"svc-{i + 1}", f"svc-{i + 2}"]) for i in range(6)]
    ranker = LearntRanker([choice_of(c, {}) for c in known])
    fresh = choice_of(alerts_case("new", "db", ["cart", "stock"]), {})
    scores = ranker.scores(fresh)
    assert max(scores, key=lambda n: scores[n]) == "db"
    assert any("disk_wait" in reason for reason in ranker.top(fresh, "db"))


def test_one_thing_measured_under_many_names_is_one_reason():
    """Core by core, and as a share and a total: as often as it was written down, not as often as it went wrong."""
    cores = raised("a-1", *(f"cpu_core_{i}_{how}" for i in range(8) for how in ("pct", "norm_pct")))
    assert len({matter_of(a) for a in cores}) == 1
    (many,), (one,) = (list(findings_of(case_of("c", "a-1", *said))) for said in (cores, cores[:1]))
    assert many.strength == one.strength
    assert len({matter_of(a) for a in raised("a-1", "mem_rss", "mem_cache", "queue_depth", "7")}) == 4


def test_what_a_service_always_raises_says_little_of_it():
    """Without labels: it is only asked what else was heard, not who was to blame."""
    noisy = raised("a-1", "cpu_throttled", "weird_a", "weird_b")
    known = [case_of(f"k{i}", "b-1", *noisy) for i in range(9)]
    now = case_of("now", "b-1", *noisy, *raised("b-1", "weird_c"))
    assert first(now) == "a-1"
    assert first(now, AlertHistory([*known, now])) == "b-1"


def test_a_case_is_no_history_of_itself():
    now = case_of("now", "b-1", *raised("b-1", "weird"))
    alone, none, others = AlertHistory([now]), AlertHistory(), AlertHistory([now, case_of("k", "b-1")])
    said = matter_of(now.alerts[0])
    assert alone.unusual(now, "b-1", said) == none.unusual(now, "b-1", said) == others.unusual(now, "b-1", said) == 1.0


@pytest.mark.parametrize(
    ("name", "worse", "better"),
    [("disk_ops", "up", "down"), ("mem_rss", "up", "down"), ("p95", "up", "down"), ("success_rate", "down", "up")],
)
def test_less_used_and_better_served_follows_from_trouble_elsewhere(name: str, worse: str, better: str):
    case = case_of("c", "a-1", *raised("a-1", name, detail=worse), *raised("b-1", name, detail=better))
    found = {f.service: f.strength for f in findings_of(case)}
    assert found["a-1"] > found["b-1"] > 0.0


def test_instances_share_what_is_learnt_of_their_service():
    assert [service_of(n) for n in ("carts-0", "mobservice2", "db", "7")] == ["carts", "mobservice", "db", "7"]
    numbered = [LabelledAlert("a-1", "log", "a-1-30", ""), LabelledAlert("b-1", "log", "30", "")]
    tokens = choice_of(case_of("c", "a-1", *numbered), {}).tokens
    assert "shows log a-30" in tokens["a-1"]
    assert "shows log b 30" in tokens["b-1"]


def test_kinds_of_fault_have_symptoms_of_their_own():
    """A kill is where `restarts` is, a delay is where it is not but calls are slow: one weight for each symptom can't tell."""
    known = []
    for i in range(24):
        culprit, other = ("a-1", "b-1") if i % 4 < 2 else ("b-1", "a-1")
        if i % 2:
            said = (*raised(culprit, "restarts"), *raised(other, "slow"))
        else:
            said = (*raised(culprit, "slow"), *raised("a-2", "steal"))
        known.append(case_of(f"k{i}", culprit, *said, fault="kill" if i % 2 else "delay"))
    ranker = LearntRanker([choice_of(c, {}) for c in known])
    for case in known:
        scores = ranker.scores(choice_of(case, {}))
        assert sum(scores.values()) == pytest.approx(1.0)
        assert max(scores, key=lambda n: scores[n]) in case.truth


def test_trees_tell_what_no_sum_can_and_are_the_same_again():
    x = np.array([[i & 1, i >> 1 & 1] for i in range(4)] * 10, np.float64)
    odd = np.array([a != b for a, b in x], np.float64)
    trees = ChanceTrees(x, odd)
    assert np.array_equal(trees.shares(x) > 0.5, odd > 0.5)
    assert np.array_equal(trees.shares(x), ChanceTrees(x, odd).shares(x))
    assert not ChanceTrees(np.zeros((0, 2)), np.zeros(0)).shares(x).any()


def test_nobody_is_ranked_by_its_own_label(tmp_path: Path):
    """Culprits without any pattern: a ranker that had seen them would know them all."""
    rng = np.random.default_rng(3)
    for i in range(16):
        alerts = [[f"s-{j}", "metric", f"m{rng.integers(40)}", "up", ""] for j in range(8) for _ in range(3)]
        (tmp_path / str(i)).mkdir()
        said = {"id": f"r{i}", "truth": [f"s-{rng.integers(8)}"], "entities": [f"s-{j}" for j in range(8)]}
        (tmp_path / str(i) / "case.json").write_text(json.dumps({**said, "columns": [], "calls": [], "alerts": alerts}))
    found = outcomes(tmp_path, ColumnMap())
    assert len(found["learnt"]) == len(found["homeostat"]) == 16
    assert sum(o.right for o in found["learnt"]) < 8
