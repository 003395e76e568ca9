"""Services keep shares of their spans that are not those of who calls them: what a callee's kept spans tell is no count of what it answered.

A service fails by itself at the moment at which others begin to keep less: nobody else is blamed, and nobody is said to leave calls
unanswered. Who is dead is found all the same.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pytest

from tests.representatives import representatives
from tests.scenarios.samplers import BUSY, SETTINGS, STEP_NS, Spans, metrics, sent
from tests.scenarios.traffic import END_S, ONSET_S, T0, Found, PipelineRun, Plan, S, Shop, Trouble

TENTH_TOLD = "ot=th:e6666666666666"
WELL = Plan(usual=BUSY)
GATEWAY_FAILS = Plan(usual=BUSY, trouble={"gateway": Trouble(fails=0.4)})
CHECKOUT_HANGS = Plan(usual=BUSY, trouble={"checkout": Trouble(hangs=True)}, timeout_s=2.0)


@dataclass(frozen=True)
class Keeping:
    """Which share of its spans each service keeps from the onset on, and before; those of whom metrics come, and whether shares are told
    on spans."""

    shares: Mapping[str, float]
    before: Mapping[str, float]
    metrics_of: frozenset[str] = frozenset()
    told: bool = False


ALL = frozenset({"gateway", "checkout", "payment", "catalog", "reco"})
NO_CALLS_KNOWN = "a callee keeps a tenth, its caller has metrics alone"
CASES = {
    "a callee keeps a tenth": Keeping({"checkout": 0.1}, {}, ALL),
    "a callee keeps a tenth and tells so": Keeping({"checkout": 0.1}, {}, told=True),
    NO_CALLS_KNOWN: Keeping({"checkout": 0.1, "gateway": 0.0}, {"gateway": 0.0}, ALL),
    "a caller keeps a tenth": Keeping({"gateway": 0.1}, {}, ALL),
    "both keep parts": Keeping({"gateway": 0.5, "checkout": 0.1}, {}, ALL),
    "a callee keeps a tenth, as ever": Keeping({"checkout": 0.1}, {"checkout": 0.1}, ALL),
    "a part becomes less": Keeping({"checkout": 0.1}, {"checkout": 0.5}, ALL),
    "a part becomes more": Keeping({"checkout": 1.0}, {"checkout": 0.1}, ALL),
}


def kept(spans: Spans, keeping: Keeping) -> Spans:
    """What services keep of their spans: each by a hash of its own, or, where they tell of it, all by the same."""
    found: Spans = []
    for end, service, span in spans:
        shares = keeping.shares if end >= T0 + ONSET_S * S else keeping.before
        share = shares.get(service, 1.0)
        if random.Random(span["traceId"] + ("" if keeping.told else service)).random() >= share:
            continue
        said = {"traceState": TENTH_TOLD if share == 0.1 else "ot=th:0"} if keeping.told else {}
        found.append((end, service, {**span, **said}))
    return found


def measured(spans: Spans, services: Iterable[str]) -> list[tuple[int, bytes, str]]:
    """What metrics of some services count, once a second."""
    return [*metrics([s for s in spans if s[1] in services], 1)]


def watched(plan: Plan, keeping: Keeping, seed: int = 23) -> Found:
    whole = Shop(plan, seed).spans_by_end()
    telemetry = [*sent(kept(whole, keeping)), *measured(whole, keeping.metrics_of)]
    run = PipelineRun(SETTINGS, T0, STEP_NS)
    run.take(sorted((m for m in telemetry if m[0] <= T0 + END_S * S), key=lambda m: m[0]))
    return run.found


@pytest.mark.slow
@pytest.mark.parametrize("case", representatives(CASES, "a callee keeps a tenth"))
def test_who_keeps_less_is_not_blamed_for_what_another_fails(case: str):
    found = watched(GATEWAY_FAILS, CASES[case])
    assert found.blamed <= {"gateway"}, found.told()
    said = [x.text for i in found.incidents for c in i.candidates for x in c.evidence if "answered" in x.text]
    assert not said, said


@pytest.mark.slow
@pytest.mark.parametrize("case", representatives(CASES, "a part becomes less"))
def test_keeping_less_is_nothing_by_itself(case: str):
    assert not watched(WELL, CASES[case]).incidents


@pytest.mark.slow
@pytest.mark.parametrize("case", representatives([c for c in CASES if c != NO_CALLS_KNOWN], "both keep parts"))
def test_who_is_dead_is_found_whatever_others_keep(case: str):
    found = watched(CHECKOUT_HANGS, CASES[case])
    assert found.blamed == {"checkout"}, found.told()
