"""Generated changes of what a caller is asked for, where its spans do not tell of its calls: by the routes of its requests calls are
expected, so nobody is called silent who is asked for less, and who really doesn't answer is found in whatever mix.

From telemetry to the evidence of silence, in virtual time and without detection: many cases in seconds."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.features import Signal
from contracts.frames import EvidenceFrame, FeatureFrame
from contracts.settings import Settings
from contracts.verdicts import ServiceState
from graph.evidence.silence import silence
from graph.evidence.situation import Situation
from graph.world.world import World
from tests.representatives import representatives
from tests.scenarios.traffic import ONSET_S, T0, Plan, Route, S, Shop, Trouble
from tests.unit.streams.windows.support import Cluster

SINCE_S = 15
CALLEES = ("catalog", "reco", "checkout", "reco-b")


def mixes(seed: int, *, client_spans: bool) -> Plan:
    """Some routes, of which some fail; from the onset on they are asked for otherwise, new ones come, and others than before fail."""
    rng = random.Random(seed)
    usual = [Route("GET /always", 4, 4, {"catalog": 1.0})]
    for i in range(rng.randint(2, 5)):
        callees = {c: rng.choice((0.4, 1.0, 1.0, 2.0)) for c in rng.sample(CALLEES, rng.choice((0, 1, 1, 2)))}
        usual.append(Route(f"GET /r{i}", rng.uniform(1, 8), rng.choice((3, 10, 60)), callees))
    changed = [replace(r, rate=r.rate * rng.choice((0, 0, 0.1, 0.5, 1, 1, 4))) for r in usual]
    changed[0] = replace(usual[0], rate=rng.choice((0.3, 4, 12)))
    changed += [  # they call nobody, and something is wrong with them
        Route(f"GET /new{i}", rng.uniform(5, 25), rng.choice((5, 300, 1500)), fails=rng.choice((0, 0.5, 0.9)))
        for i in range(rng.randint(1, 2))
    ]
    changed[-1] = replace(changed[-1], fails=max(changed[-1].fails, 0.4))
    return Plan(usual=usual, changed=changed, client_spans=client_spans)


def situation(plan: Plan, seed: int) -> Situation:
    """What is known `SINCE_S` seconds after the onset."""
    cluster, world = Cluster(2, 1, seed, settings=Settings()), World("default")
    spans, seconds = Shop(plan, seed).spans_by_end(), ONSET_S + SINCE_S
    for second in range(seconds + 12):
        now_ns = T0 + (second + 1) * S
        some = [span for span in spans if second < seconds and T0 + second * S <= span[0] < now_ns]
        for payload in together(some):
            cluster.send(second % 2, payload, now_ns)
        cluster.work(now_ns, 1_000)
        for member in cluster.members:
            cluster._take(member.stage.tick(now_ns), now_ns)
        cluster.work(now_ns, 1_000)
    until_ns = T0 + seconds * S
    for frame in sorted(cluster.frames, key=lambda f: f.window_ns):
        if frame.signal in list(Signal) and frame.window_ns + frame.width_ns <= until_ns:
            world.take(evidence(frame))
    return world.situation(["gateway", *CALLEES, "payment"], T0 + ONSET_S * S)


def together(spans: list[tuple[int, str, dict[str, Any]]]) -> Iterator[bytes]:
    """One message of the spans of a second."""
    by_service: dict[str, list[dict[str, Any]]] = {}
    for _, service, span in spans:
        by_service.setdefault(service, []).append(span)
    resources = [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": service}}]},
            "scopeSpans": [{"spans": some}],
        }
        for service, some in by_service.items()
    ]
    if resources:
        yield json.dumps({"resourceSpans": resources}).encode()


def evidence(frame: FeatureFrame) -> EvidenceFrame:
    """A frame of which detection says nothing."""
    blank, rows = np.full(frame.values.shape, np.nan), len(frame.services)
    fields = {n: getattr(frame, n) for n in EvidenceFrame.__slots__ if hasattr(frame, n)}
    fields |= {"score": np.zeros(frame.values.shape), "low": blank, "high": blank, "p_value": np.ones(rows)}
    return EvidenceFrame(**fields, state=(ServiceState.HEALTHY,) * rows)


def silent(found: Situation) -> dict[str, str]:
    """Who is called silent by callers, and why."""
    return {f.service: f"{f.strength:.2f} {f.text}" for f in silence(found) if f.service in CALLEES}


@pytest.mark.parametrize(
    ("seed", "client_spans"),
    representatives(
        [*((s, False) for s in range(12)), *((s, True) for s in range(3))],
        *((0, False), (0, True)),
    ),
)
def test_who_is_asked_for_less_is_not_silent(seed: int, client_spans: bool) -> None:
    assert not silent(situation(mixes(seed, client_spans=client_spans), seed))


def guilty(seed: int) -> Plan:
    """A plan in which `catalog` does not answer: it hangs or refuses."""
    plan = mixes(seed, client_spans=False)
    changed = [replace(plan.changed[0], rate=4), *plan.changed[1:]]
    trouble = Trouble(hangs=True) if seed % 2 else Trouble(refuses=True)
    return replace(plan, changed=changed, trouble={"catalog": trouble})


@pytest.mark.parametrize("seed", representatives(range(5), 0, 1))
def test_who_does_not_answer_is_silent_in_any_mix(seed: int) -> None:
    assert "catalog" in silent(situation(guilty(seed), seed))
