"""Gaps in evidence: exactly those that are put into a world are named, of exactly those services, and none of a world without gaps."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from contracts.events import Incident, TelemetryGaps, decode
from contracts.frames import PartialFrame
from contracts.gaps import GAPS_OF
from contracts.settings import load
from contracts.topics import GAPS, INCIDENTS, TOPICS
from contracts.units import MILLISECOND, SECOND
from contracts.verdicts import GapKind
from homeostat.wiring import perceive_specs
from streams.in_memory import MemoryPipeline
from streams.windows import facts
from streams.windows.gaps import GONE_NS, GapJudge
from streams.windows.rows import Origin, frame
from tests.representatives import representatives
from tests.unit.streams.gap_worlds import (
    CHAIN,
    CLIENT,
    INTERNAL,
    PARTITIONS,
    SERVER,
    T0,
    Sender,
    chain,
    gaps_of,
    run,
)

pytestmark = pytest.mark.slow
OF_ALL_KINDS: dict[GapKind, dict[str, Any]] = {
    GapKind.LATE_SPANS: {"batch_s": 5.0},
    GapKind.LATE_LOGS: {"log_batch_s": 5.0},
    GapKind.NO_LOGS: {"logs": False},
    GapKind.NO_RESOURCE_METRICS: {"memory": False},
    GapKind.UNMAPPED_METRICS: {"own_metric": True},
    GapKind.SLOW_METRICS: {"metrics_s": 60},
    GapKind.UNNAMED_PEERS: {"names_peers": False},
    GapKind.NO_VERSION: {"resource": {"service.version": ""}},
    GapKind.NO_NAMESPACE: {"resource": {"service.namespace": ""}},
    GapKind.NO_INSTANCE: {"resource": {"service.instance.id": "", "k8s.pod.name": ""}},
    GapKind.NO_WORKLOAD: {"resource": {"k8s.deployment.name": ""}},
}
"""What can go together in one service, whoever it is, and concerns it alone."""


@pytest.mark.parametrize("seed", representatives(range(3), 0))
def test_exactly_the_gaps_that_were_put_in_are_named(seed: int) -> None:
    rng = random.Random(seed)
    senders, expected = {}, {}
    for name in CHAIN:
        usable = [k for k in OF_ALL_KINDS if not (k is GapKind.UNNAMED_PEERS and name == CHAIN[-1])]
        kinds = set(rng.sample(usable, rng.randrange(4)))
        if GapKind.NO_LOGS in kinds:
            kinds.discard(GapKind.LATE_LOGS)
        said: dict[str, Any] = {}
        for kind in sorted(kinds):
            more = OF_ALL_KINDS[kind]
            resource = {**said.get("resource", {}), **more.get("resource", {})}
            said |= {**more, "resource": resource}
        senders[name] = Sender(name, **said)
        if kinds:
            expected[name] = kinds
    assert gaps_of(senders, seed=seed) == expected


def with_gap(name: str, **said: object) -> dict[str, Sender]:
    return {**chain(), name: Sender(name, **said)}  # type: ignore[arg-type]


AT_OTHERS: dict[str, tuple[dict[str, Sender], dict[str, set[GapKind]]]] = {
    "none": (chain(), {}),
    "ahead": (with_gap("orders", ahead_s=20.0), {"orders": {GapKind.SKEWED_CLOCK}}),
    "behind": (with_gap("orders", ahead_s=-20.0), {"orders": {GapKind.SKEWED_CLOCK}}),
    "no server": (with_gap("orders", kinds=frozenset({INTERNAL, CLIENT})), {"orders": {GapKind.NO_SERVER_SPANS}}),
    "server lost": (with_gap("orders", dropped=frozenset({SERVER})), {"orders": {GapKind.NO_SERVER_SPANS}}),
    "no client": (with_gap("orders", kinds=frozenset({INTERNAL, SERVER})), {"orders": {GapKind.NO_CLIENT_SPANS}}),
    "client lost": (
        with_gap("orders", dropped=frozenset({CLIENT})),
        {"orders": {GapKind.NO_CLIENT_SPANS}, "payment": {GapKind.BROKEN_TRACES}},
    ),
    "no spans": (
        with_gap("orders", dropped=frozenset({CLIENT, SERVER, INTERNAL})),
        {"orders": {GapKind.NO_SPANS}, "payment": {GapKind.BROKEN_TRACES}},
    ),
    "sampled": ({name: Sender(name, keeps=0.2) for name in CHAIN}, {name: {GapKind.SAMPLED} for name in CHAIN}),
    "unnamed": (
        with_gap("orders", resource={"service.name": "unknown_service:java", "k8s.deployment.name": ""}),
        {"unknown_service:java": {GapKind.UNNAMED_SERVICE, GapKind.NO_WORKLOAD}},
    ),
}


@pytest.mark.parametrize("case", representatives(AT_OTHERS, "none", "client lost"))
def test_gaps_that_show_at_others_or_by_others(case: str) -> None:
    senders, expected = AT_OTHERS[case]
    assert gaps_of(senders) == expected


def test_who_calls_nobody_may_be_without_client_spans_on_purpose() -> None:
    """Then it is told as what may be so: with no certainty, and no lesser order of things is blamed for it."""
    known: dict[str, TelemetryGaps] = {}
    world = with_gap("payment", kinds=frozenset({INTERNAL, SERVER}))
    pipeline = MemoryPipeline(
        perceive_specs(load(), dict.fromkeys(TOPICS, PARTITIONS))[:3],
        PARTITIONS,
        lambda r: known.update({(g := decode(TelemetryGaps, r.value)).service: g}) if r.topic == GAPS else None,
    )
    run(world, 60, 1, 4, pipeline)
    (gap,) = known["shop/payment"].gaps
    assert (gap.kind, gap.certain) == (GapKind.NO_CLIENT_SPANS, False)


def test_an_incident_carries_the_gaps_of_those_on_its_path() -> None:
    """Through the whole pipeline: payment fails, and orders, which calls it, makes no client spans."""
    found: list[Incident] = []
    pipeline = MemoryPipeline(
        perceive_specs(load({"detect": {"detectors": ["bank"]}}), dict.fromkeys(TOPICS, PARTITIONS)),
        PARTITIONS,
        lambda r: found.append(decode(Incident, r.value)) if r.topic == INCIDENTS else None,
    )
    world = {**with_gap("orders", kinds=frozenset({INTERNAL, SERVER})), "payment": Sender("payment", fails_after_s=70)}
    run(world, 85, 1, 6, pipeline)
    last = found[-1]
    assert last.candidates[0].service == "shop/payment"
    assert [(g.service, g.kind, g.certain) for g in last.gaps] == [("shop/orders", GapKind.NO_CLIENT_SPANS, True)]
    assert "Seen only in part: shop/orders: " in last.text


def heard(service: str, told: tuple[str, ...] = (), **counts: int) -> PartialFrame:
    """A frame that carries facts of one service."""
    row = np.zeros((1, facts.WIDTH), np.int64)
    for name, count in counts.items():
        row[0, getattr(facts, name.upper())] = count
    empty = frame(Origin("prod", "s/0", 1, 1), "spans", {})
    return replace(empty, facts_of=(service,), facts=row, told=told)


def test_what_was_mended_is_no_gap_a_few_minutes_later_and_a_service_that_left_has_none() -> None:
    judge = GapJudge("prod", 10)
    kinds: list[tuple[int, set[GapKind]]] = []
    for second in range(0, 900, 5):
        unsaid = 10 if second < 180 else 0
        judge.hear(heard("cart", heard=10, served=100, asked=10, versionless=unsaid), T0 + second * SECOND)
        told = judge.look(T0 + second * SECOND)
        kinds += [(second, {g.kind for g in t.gaps}) for t in told]
    assert kinds[0] == (20, {GapKind.NO_VERSION})
    mended = [second for second, found in kinds if second > 180 and GapKind.NO_VERSION not in found]
    assert mended[0] <= 180 + 300
    (gone,) = judge.look(T0 + 900 * SECOND + GONE_NS + SECOND)
    assert not gone.gaps
    assert judge.look(T0 + 900 * SECOND + 2 * GONE_NS) == [], "told once"


def test_a_judge_goes_on_from_its_snapshot() -> None:
    one, two = GapJudge("prod", 10), GapJudge("prod", 10)
    one.hear(heard("cart", ("called\tcart", "unread\tcart\tshop.baskets"), points=50), T0)
    two.load(one.state())
    at = T0 + 30 * SECOND
    assert {g.kind for t in one.look(at) for g in t.gaps} == {GapKind.NO_SPANS, GapKind.UNMAPPED_METRICS}
    two.look(at)
    assert two.state() == one.state()


def test_who_was_not_heard_of_for_longest_leaves_where_there_are_too_many() -> None:
    judge = GapJudge("prod", 2)
    for i, name in enumerate(("one", "two", "three")):
        judge.hear(heard(name, heard=10, served=100, versionless=10), T0 + i)
    assert {t.service for t in judge.look(T0 + 30 * SECOND)} == {"two", "three"}


def test_nothing_is_missing_before_it_had_time_to_come() -> None:
    judge = GapJudge("prod", 10)
    judge.hear(heard("cart", heard=10, served=100, asked=10), T0)
    assert [t for s in range(0, 140, 5) for t in judge.look(T0 + s * SECOND)] == []
    assert {g.kind for t in judge.look(T0 + 150 * SECOND) for g in t.gaps} == {
        GapKind.NO_LOGS,
        GapKind.NO_RESOURCE_METRICS,
    }


def test_a_service_of_which_all_is_there_is_told_as_that_once() -> None:
    judge = GapJudge("prod", 10)
    for second in range(0, 400, 5):
        judge.hear(
            heard("cart", heard=10, served=10, asked=10, logs=9, points=9, resource_points=9), T0 + second * SECOND
        )
    told = [t for s in range(0, 400, 5) for t in judge.look(T0 + s * SECOND)]
    assert [(t.service, t.gaps) for t in told] == [("cart", ())]


def test_each_kind_is_explained_and_can_be_mended() -> None:
    assert set(GAPS_OF) == set(GapKind)
    assert all(meaning.means and meaning.mends for meaning in GAPS_OF.values())
    assert all(mend.line.isprintable() for meaning in GAPS_OF.values() for mend in meaning.mends)


def test_a_tick_in_between_tells_nothing_twice() -> None:
    judge = GapJudge("prod", 10)
    assert judge.look(T0) == []
    assert judge.look(T0 + MILLISECOND) == []
