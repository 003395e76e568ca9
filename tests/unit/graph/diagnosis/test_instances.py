"""What befell a service's instances weighs with what it shows, tells the mechanism, and blames nobody by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from contracts.events import CORDONED, WELL, Change
from contracts.features import ERROR_RATE, LATENCY_P95, REQUEST_RATE
from contracts.units import SECOND as S
from contracts.verdicts import CauseKind
from graph.evidence.local import instances
from graph.evidence.situation import Node, Shift, Situation
from graph.judgement import MOST_PRIOR, WEIGHTS
from graph.ranking import PRIORS, Suspect, rank

ONSET = 1_780_000_000 * S
KINDS = {
    "oom": CauseKind.LEAK,
    "restart": CauseKind.CRASH,
    "eviction": CauseKind.CRASH,
    "start": CauseKind.CRASH,
    "probe": CauseKind.HANG,
    "scheduling": CauseKind.SATURATION,
    "node": None,
}


def told(kind: str, service: str = "cart", ago_s: float = 3, **more: str) -> Change:
    actor = {"oom": "kubelet", "restart": "kubelet", "start": "kubelet", "probe": "kubelet"}.get(kind, "")
    given = {"actor": actor, "text": f"something about {service}", **more}
    return Change(environment="shop", service=service, kind=kind, time_ns=ONSET - int(ago_s * S), **given)


def node(name: str, error: float = 0.0) -> Node:
    shifts = {
        REQUEST_RATE: Shift(REQUEST_RATE, 10.0, 10.0, 0.0, 0.0, 10.0, 60.0),
        LATENCY_P95: Shift(LATENCY_P95, 0.1, 0.1, 0.0, 0.0, 10.0, 60.0),
        ERROR_RATE: Shift(ERROR_RATE, 0.0, error, 40 * error, 30 * error, 100.0, 600.0),
    }
    return Node(name, shifts=shifts)


def situation(*changes: Change, errors: dict[str, float] | None = None) -> Situation:
    errors = {"cart": 0.2, "stock": 0.2, "user": 0.0} if errors is None else errors
    return Situation("shop", ONSET, ONSET + 10 * S, {n: node(n, e) for n, e in errors.items()}, {}, changes)


def suspects(*changes: Change, errors: dict[str, float] | None = None) -> dict[str, Suspect]:
    return {s.service: s for s in rank(situation(*changes, errors=errors))}


@pytest.mark.parametrize("kind", KINDS)
def test_it_tips_the_scale_between_services_that_suffer_alike(kind: str):
    before, after = suspects(), suspects(told(kind))
    assert before["cart"].probability == pytest.approx(before["stock"].probability)
    assert after["cart"].probability > 1.5 * after["stock"].probability
    assert any(kind == f.channel and "something about cart" in f.text for f in after["cart"].findings)
    assert [f.kind for f in after["cart"].findings if f.channel == kind] == [KINDS[kind]]


@pytest.mark.parametrize("kind", KINDS)
def test_it_blames_nobody_who_shows_nothing(kind: str):
    found = suspects(*(told(kind, "user", ago) for ago in range(20)))
    assert found["user"].score < 0.05
    assert found["user"].probability < 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_bounded_however_often_it_is_told(kind: str):
    once, often = (suspects(*(told(kind, ago_s=a) for a in range(n)))["cart"].score for n in (1, 100))
    assert once < often < 1.6 * once + 0.1
    plain = suspects()["cart"].score
    everything = suspects(*(told(k, ago_s=a) for k in KINDS for a in range(10)))["cart"].score
    assert everything <= plain + MOST_PRIOR + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_it_fades_with_its_age_before_the_onset(kind: str):
    strengths = [next(iter(instances(situation(told(kind, ago_s=a))))).strength for a in (-5, 30, 120, 300)]
    assert strengths[0] == strengths[1] > strengths[2] > strengths[3]


@pytest.mark.parametrize(
    "change",
    [
        told("restart", actor="kubectl-rollout"),
        told("restart", actor="homeostat"),
        told("node", after=WELL),
        told("node", after=CORDONED),
        told("scale"),
        told("something new"),
    ],
)
def test_what_was_asked_for_and_what_is_well_again_is_no_trouble(change: Change):
    assert list(instances(situation(change))) == []


def test_an_out_of_memory_kill_speaks_for_a_leak_and_a_failing_probe_for_a_hang():
    assert suspects(told("oom"), errors={"cart": 0.05})["cart"].kind is CauseKind.LEAK
    hung = situation(told("probe"))
    slow = replace(hung.nodes["cart"], shifts={LATENCY_P95: Shift(LATENCY_P95, 0.1, 0.13, 0.8, 3.0, 10.0, 60.0)})
    found = {s.service: s for s in rank(replace(hung, nodes={"cart": slow}))}
    assert found["cart"].kind is CauseKind.HANG


def test_every_prior_has_a_weight():
    assert set(PRIORS) <= set(WEIGHTS)
    assert set(KINDS) <= set(PRIORS)
