"""How well the ranking finds labelled culprits, through the same core as the product, beside published methods in the same run.

Spans and logs of a case go through the product's stages; its metrics are compared before and after the onset as the product compares
them; alerts that a set ships ready made are findings. Of a violated metric that is given (`target`) the ranking is told whose it is and of
which kind, as published methods are.
"""

from __future__ import annotations

import dataclasses
import math
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from contracts.features import FEATURES, FeatureKind
from contracts.frames.decoded import F64
from graph.evidence.shifts import shifts
from graph.evidence.situation import Edge, Node, Shift, Situation, Violation
from graph.ranking import Suspect, rank
from graph.world.series import transform
from graph.world.topology import is_observer
from homeostat.bench.alert_sets import AlertHistory, findings_of
from homeostat.bench.alert_tokens import LabelledChoice, choice_of
from homeostat.bench.cases import FailureCase, cases
from homeostat.bench.column_map import ColumnMap
from homeostat.bench.learnt import FOLDS, LearntRanker, fold_of
from homeostat.bench.rivals import ALERTS, METRICS
from homeostat.bench.telling import told

TRIALS: Final = 20.0
"""Requests behind one sample of a ratio, where a data set does not say."""
HALVES: Final = ("all", "tuned", "other")
BINS: Final = 10
DEPTH: Final = 5
_Z: Final = 1.96


@dataclass(frozen=True, slots=True)
class Placement:
    """How one case went. `position` is that of the first right answer, with ties broken by a hash of the name; `strict` behind all who
    tie with it. `confidence` is the leader's probability, `unknown` that of none of the candidates."""

    case: str
    fault: str
    position: float
    strict: float
    confidence: float = math.nan
    unknown: float = math.nan
    ms: float = math.nan

    @property
    def right(self) -> bool:
        """Whether the culprit came first."""
        return self.position == 1


def half_of(case_id: str) -> str:
    """The half a case belongs to: constants of judgement may have been set on the cases of `tuned`, never on those of `other`."""
    return HALVES[1 + zlib.crc32(case_id.encode()) % 2]


def situation_of(case: FailureCase, columns: ColumnMap, after_s: float = 0.0) -> Situation:
    """A case as the ranking sees it, of what was told until `after_s` seconds after the onset (0: all of it)."""
    found = told(case, after_s)
    metrics = metric_shifts(case.until(after_s), columns)
    harm = _harm(case, columns)
    if found is None:
        nodes = {e: Node(e, own=True, observer=is_observer(e), shifts=metrics.get(e, {})) for e in case.entities}
        return Situation("bench", 0, 0, nodes, _edges(case, nodes, {}), harm=harm)
    world, onset_ns = found
    seen = world.situation(list(world.topology.services), onset_ns)
    nodes = dict(seen.nodes)
    for name in case.entities:
        before = nodes.get(name, Node(name, own=True, observer=is_observer(name)))
        own = {k: v for k, v in metrics.get(name, {}).items() if k not in before.shifts}
        nodes[name] = dataclasses.replace(before, shifts={**before.shifts, **own})
    return dataclasses.replace(seen, nodes=nodes, edges=_edges(case, nodes, seen.edges), harm=harm)


def _edges(
    case: FailureCase, nodes: Mapping[str, Node], seen: Mapping[tuple[str, str], Edge]
) -> dict[tuple[str, str], Edge]:
    said = {(a, b): Edge(a, b) for a, b in case.calls if a != b and a in nodes and b in nodes}
    return {**said, **seen}


def _harm(case: FailureCase, columns: ColumnMap) -> tuple[Violation, ...]:
    mapped = columns.of(case.target[1]) if case.target else None
    if case.target is None or mapped is None:
        return ()
    kinds = {FeatureKind.LATENCY: "latency", FeatureKind.RATIO: "errors"}
    kind = kinds.get(FEATURES[mapped.feature].kind)
    return (Violation(case.target[0], kind),) if kind else ()


def metric_shifts(case: FailureCase, columns: ColumnMap) -> dict[str, dict[str, Shift]]:
    """What changed in a case's metrics, by entity and feature; of several columns of one feature the one that changed most. Where a
    violated metric is given, other metrics of its kind are left out: they measure the same less well."""
    found: dict[str, dict[str, Shift]] = {e: {} for e in case.entities}
    violated = columns.of(case.target[1]) if case.target else None
    by_feature: dict[str, list[int]] = {}
    for j, (_, metric) in enumerate(case.columns):
        mapped = columns.of(metric)
        if mapped is None:
            continue
        symptom = FEATURES[mapped.feature].kind in (FeatureKind.LATENCY, FeatureKind.RATIO)
        if symptom and violated is not None and case.target is not None and metric != case.target[1]:
            continue
        by_feature.setdefault(mapped.feature, []).append(j)
    for feature, chosen in by_feature.items():
        maps = [columns.of(case.columns[j][1]) for j in chosen]
        normal, abnormal = (
            np.stack([m.values(x[:, j]) for j, m in zip(chosen, maps, strict=True) if m is not None], axis=1)
            for x in (case.normal, case.abnormal)
        )
        trials = (_trials(case, columns, chosen, x) for x in (case.normal, case.abnormal))
        for j, row in zip(chosen, _shifts(feature, (normal, abnormal), tuple(trials)), strict=True):
            entity = case.columns[j][0]
            shift, before = row.get(feature), found.setdefault(entity, {}).get(feature)
            if shift is not None and (before is None or abs(shift.deviation) > abs(before.deviation)):
                found[entity][feature] = shift
    return found


def _trials(case: FailureCase, columns: ColumnMap, chosen: Sequence[int], samples: F64) -> F64:
    """Requests behind each sample of some columns: as many as the data set counts of that entity, else `TRIALS`."""
    found = np.full((len(samples), len(chosen)), TRIALS)
    for j, (entity, metric) in enumerate(case.columns):
        mapped = columns.of(metric)
        if mapped is not None and mapped.counted:
            counted = np.nan_to_num(mapped.values(samples[:, j]))
            for k, i in enumerate(chosen):
                if case.columns[i][0] == entity:
                    found[:, k] = np.maximum(counted, 0.0)
    return found


def _shifts(feature: str, samples: tuple[F64, F64], trials: tuple[F64, ...]) -> list[dict[str, Shift]]:
    kind = FEATURES[feature].kind
    before, after = (
        _moments(x, kind, n if kind is FeatureKind.RATIO else np.ones_like(n))
        for x, n in zip(samples, trials, strict=True)
    )
    return shifts((feature,), (kind,), before, after, np.zeros((samples[0].shape[1], 1)))


def _moments(samples: F64, kind: FeatureKind, weight: F64) -> F64:
    value = transform(samples[..., None], (kind,))[..., 0]
    known = np.isfinite(value)
    value = np.where(known, value, 0.0)
    return np.stack([(weight * known * value**p).sum(axis=0) for p in range(3)])[..., None]


def suspects_of(
    case: FailureCase, columns: ColumnMap, after_s: float = 0.0, history: AlertHistory | None = None
) -> tuple[list[Suspect], float]:
    """Suspects of a case, and CPU milliseconds that ranking them took (not reading and telling). `history`: alerts of other cases."""
    situation = situation_of(case, columns, after_s)
    found = list(findings_of(case, history)) if case.alerts else None
    began = time.process_time()
    suspects = rank(situation, found)
    return suspects, 1000 * (time.process_time() - began)


def outcome(case: FailureCase, scores: Mapping[str, float], **told_of: float) -> Placement:
    """How a case went by scores of its entities."""
    rounded = {n: round(s, 6) for n, s in scores.items()}
    order = sorted(rounded, key=lambda n: (-rounded[n], zlib.crc32(n.encode())))
    place = {n: i for i, n in enumerate(order, 1)}
    hits = [n for n in place if n in case.truth]
    if not hits:
        return Placement(case.id, case.fault, math.inf, math.inf, **told_of)
    best = min(hits, key=lambda n: place[n])
    ties = sum(s >= rounded[best] and n not in case.truth for n, s in rounded.items())
    return Placement(case.id, case.fault, place[best], ties + 1, **told_of)


def outcomes(folder: Path, columns: ColumnMap, half: str = "all", after_s: float = 0.0) -> dict[str, list[Placement]]:
    """Outcomes of the cases of a folder by method, Homeostat's first."""
    out: dict[str, list[Placement]] = {"homeostat": []}
    alerted: list[FailureCase] = []
    for case in cases(folder):
        if case.alerts:
            alerted.append(case)
        elif half in ("all", half_of(case.id)):
            suspects, ms = suspects_of(case, columns, after_s)
            _place(out, case, suspects, ms)
    history, labelled = AlertHistory(alerted), []
    for case in alerted:
        suspects, ms = suspects_of(case, columns, after_s, history)
        labelled.append((case, choice_of(case, {s.service: s.score for s in suspects}, history)))
        if half in ("all", half_of(case.id)):
            _place(out, case, suspects, ms)
    if labelled:
        out["learnt"] = list(_learnt(labelled, half))
    return out


def _place(out: dict[str, list[Placement]], case: FailureCase, suspects: Sequence[Suspect], ms: float) -> None:
    """Add how a case went by the ranking, and by the methods beside it."""
    sure = suspects[0].probability if suspects else 0.0
    unknown = max(0.0, 1.0 - sum(s.probability for s in suspects))
    scores = {s.service: s.score for s in suspects}
    out["homeostat"].append(outcome(case, scores, confidence=sure, unknown=unknown, ms=ms))
    rivals: Mapping[str, Callable[[FailureCase], dict[str, float]]] = ALERTS if case.alerts else METRICS
    if not case.alerts and not case.columns:
        return
    for name, method in rivals.items():
        began = time.process_time()
        found = method(case)
        took = 1000 * (time.process_time() - began)
        out.setdefault(name, []).append(outcome(case, found, ms=took))


def _learnt(labelled: Sequence[tuple[FailureCase, LabelledChoice]], half: str) -> Iterator[Placement]:
    """Outcomes of a ranker that was learnt from the other parts of the cases than the one that a case is in."""
    for fold in range(FOLDS):
        mine = [x for x in labelled if fold_of(x[0].id) == fold and half in ("all", half_of(x[0].id))]
        if not mine:
            continue
        ranker = LearntRanker([choice for case, choice in labelled if fold_of(case.id) != fold])
        for case, choice in mine:
            began = time.process_time()
            found = ranker.scores(choice)
            took = 1000 * (time.process_time() - began)
            yield outcome(case, found, confidence=max(found.values(), default=0.0), ms=took)


def share(found: Sequence[Placement], k: int, strict: bool = False) -> float:
    """AC@k."""
    return sum((o.strict if strict else o.position) <= k for o in found) / max(1, len(found))


def wilson(share_: float, n: int, z: float = _Z) -> tuple[float, float]:
    """95 % interval of a share of n (Wilson 1927)."""
    if not n:
        return 0.0, 1.0
    d = 1 + z * z / n
    middle = (share_ + z * z / (2 * n)) / d
    half = z * math.sqrt(share_ * (1 - share_) / n + z * z / (4 * n * n)) / d
    return max(0.0, middle - half), min(1.0, middle + half)


def calibration(found: Iterable[Placement], bins: int = BINS) -> list[tuple[int, float, float]]:
    """Reliability: (cases, mean confidence, share right) by confidence, bins without cases left out."""
    by: dict[int, list[Placement]] = {}
    for o in found:
        by.setdefault(min(bins - 1, int(bins * o.confidence)), []).append(o)
    return [
        (len(x), sum(o.confidence for o in x) / len(x), sum(o.right for o in x) / len(x)) for _, x in sorted(by.items())
    ]


def ece(found: Sequence[Placement]) -> float:
    """Expected calibration error (Naeini et al., AAAI 2015): mean distance of confidence and share right, weighed by cases."""
    return sum(n * abs(sure - right) for n, sure, right in calibration(found)) / max(1, len(found))


def lines(folder: Path, found: Mapping[str, Sequence[Placement]]) -> Iterator[str]:
    """A report of one folder."""
    n = len(found["homeostat"])
    yield f"{folder.name}: {n} cases"
    yield f"  {'':<14}{'AC@1':>7}{'95 %':>13}{'AC@3':>7}{'AC@5':>7}{'Avg@5':>7}{'MRR':>7}{'strict':>8}{'ms':>8}"
    for name, them in found.items():
        low, high = wilson(share(them, 1), len(them))
        average = sum(share(them, k) for k in range(1, DEPTH + 1)) / DEPTH
        mrr = sum(1 / o.position for o in them) / max(1, len(them))
        ms = sum(o.ms for o in them) / max(1, len(them))
        yield (
            f"  {name:<14}{share(them, 1):>7.3f}{f'{low:.2f}-{high:.2f}':>13}{share(them, 3):>7.3f}{share(them, 5):>7.3f}"
            f"{average:>7.3f}{mrr:>7.3f}{share(them, 1, strict=True):>8.3f}{ms:>8.2f}"
        )
    if "learnt" in found:
        yield f"  learnt ranker's calibration error {ece(found['learnt']):.3f}"
    ours = found["homeostat"]
    for fault in sorted({o.fault for o in ours}):
        some = [o for o in ours if o.fault == fault]
        yield f"  {fault:<28}{len(some):>4} cases  AC@1 {share(some, 1):.3f}  AC@3 {share(some, 3):.3f}"
    right, wrong = ([o.unknown > o.confidence for o in ours if o.right is r] for r in (True, False))
    yield (
        f"  calibration error {ece(ours):.3f}; rather unknown: {sum(right)} of {len(right)} that are right, "
        f"{sum(wrong)} of {len(wrong)} that are wrong"
    )
    for cases_, sure, hit in calibration(ours):
        yield f"    said {sure:>4.0%}  right {hit:>4.0%}  ({cases_} cases)"


def report(folders: Iterable[Path], columns: ColumnMap, half: str = "all", after_s: float = 0.0) -> Iterator[str]:
    """Reports of folders, as each is done."""
    for folder in folders:
        yield from lines(folder, outcomes(folder, columns, half, after_s))
