"""How well the ranking finds labelled culprits: AC@1, AC@3 on failure cases, through the same core as the product.

    python -m homeostat.bench.diagnosis FOLDER [FOLDER…]       each holds cases: <case>/case.json and <case>/metrics.npz

case.json names entities, calls (caller, callee), columns (entity, metric) and the truth; `metrics.npz` holds `normal` and
`abnormal`, (time, column). Only these series are read: spans and logs of a case are not.
"""

from __future__ import annotations

import json
import sys
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from contracts import features as f
from contracts.features import FEATURES
from graph.evidence.shifts import shifts
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.ranking import rank
from graph.world.series import transform
from graph.world.topology import is_observer
from homeostat.terminal import echo

COLUMNS: Final = {
    "latency.p50": f.LATENCY_P50,
    "latency.average": f.LATENCY_P50,
    "latency.p95": f.LATENCY_P95,
    "latency.p90": f.LATENCY_P95,
    "latency.p99": f.LATENCY_P99,
    "lat_50": f.LATENCY_P50,
    "lat_90": f.LATENCY_P95,
    "lat_99": f.LATENCY_P99,
    "podserverlatencyp90(s)": f.LATENCY_P95,
    "availability.average": f.ERROR_RATE,
    "cpu": f.CPU_CORES,
    "cpuusagerate(%)": f.CPU_CORES,
    "mem": f.MEMORY_BYTES,
    "memoryusagerate(%)": f.MEMORY_BYTES,
    "requests.sum": f.REQUEST_RATE,
    "podworkload(ops)": f.REQUEST_RATE,
    "lod": f.REQUEST_RATE,
}
"""Features by the metric names of public data sets, lower case."""
TRIALS: Final = 20.0
"""Requests behind one sample of a ratio, where a data set does not say."""

F64 = NDArray[np.float64]


def situation_of(case: dict[str, Any], normal: F64, abnormal: F64) -> Situation:
    """A case as the ranking sees it; of several columns of one feature the one that changed most."""
    found: dict[str, dict[str, Shift]] = {e: {} for e in case["entities"]}
    by_feature: dict[str, list[int]] = {}
    for j, (_, metric) in enumerate(case["columns"]):
        feature = COLUMNS.get(metric.lower())
        if feature is not None:
            by_feature.setdefault(feature, []).append(j)
    for feature, columns in by_feature.items():
        rows = _shifts(feature, normal[:, columns], abnormal[:, columns])
        for j, row in zip(columns, rows, strict=True):
            entity = case["columns"][j][0]
            shift, before = row.get(feature), found[entity].get(feature)
            if shift is not None and (before is None or abs(shift.deviation) > abs(before.deviation)):
                found[entity][feature] = shift
    nodes = {e: Node(e, own=True, observer=is_observer(e), shifts=s) for e, s in found.items()}
    edges = {(a, b): Edge(a, b) for a, b in map(tuple, case["calls"]) if a != b and a in nodes and b in nodes}
    return Situation("bench", 0, 0, nodes, edges)


def _shifts(feature: str, normal: F64, abnormal: F64) -> list[dict[str, Shift]]:
    kind = FEATURES[feature].kind
    if feature == f.ERROR_RATE:
        # Availability in percent.
        normal, abnormal = 1 - normal / 100, 1 - abnormal / 100
    before, after = (_moments(x, kind, TRIALS if kind is f.FeatureKind.RATIO else 1.0) for x in (normal, abnormal))
    return shifts((feature,), (kind,), before, after, np.zeros((normal.shape[1], 1)))


def _moments(samples: F64, kind: f.FeatureKind, weight: float) -> F64:
    value = transform(samples[..., None], (kind,))[..., 0]
    known = np.isfinite(value)
    value = np.where(known, value, 0.0)
    return np.stack([(weight * known * value**p).sum(axis=0) for p in range(3)])[..., None]


def ranking(case: dict[str, Any], normal: F64, abnormal: F64) -> list[str]:
    """Entities of a case, the most suspect first; ties by a hash of the name, so that a data set's order is no help."""
    suspects = rank(situation_of(case, normal, abnormal))
    order = sorted(suspects, key=lambda s: (-round(s.score, 6), zlib.crc32(s.service.encode())))
    return [s.service for s in order]


def positions(folder: Path) -> list[int]:
    """The rank of the first right answer in every case of a folder."""
    out = []
    for path in sorted(folder.glob("*/case.json")):
        case = json.loads(path.read_text())
        with np.load(path.with_name("metrics.npz")) as arrays:
            names = ranking(case, arrays["normal"], arrays["abnormal"])
        truth = set(case["truth"])
        out.append(next((i for i, n in enumerate(names, 1) if n in truth), len(names) + 1))
    return out


def report(folders: Iterable[Path]) -> str:
    """One line per folder: cases, AC@1, AC@3."""
    lines = [f"{'set':<24}{'cases':>6}{'AC@1':>8}{'AC@3':>8}"]
    for folder in folders:
        found = positions(folder)
        n = max(1, len(found))
        lines.append(f"{folder.name:<24}{len(found):>6}{_share(found, 1) / n:>8.3f}{_share(found, 3) / n:>8.3f}")
    return "\n".join(lines)


def _share(found: Sequence[int], k: int) -> int:
    return sum(p <= k for p in found)


if __name__ == "__main__":
    echo(report(Path(a) for a in sys.argv[1:]))
