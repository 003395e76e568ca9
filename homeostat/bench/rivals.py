"""Published ways to rank culprits, as their papers describe them: what diagnosis is compared with, in the same run.

All take a case and give scores by entity; who is not named in them comes last. Scores from metrics look at the whole abnormal window.
"""

from __future__ import annotations

import random
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from contracts.frames.decoded import F64
from homeostat.bench.cases import FailureCase

Scores = dict[str, float]

_BACK: Final = 0.2
_DAMPING: Final = 0.85
_STEPS: Final = 60
_MARKED: Final = 5.0
_SETTLES: Final = 2
_FEW: Final = 10


def n_sigma(case: FailureCase) -> Scores:
    """Largest deviation above the normal mean, in its standard deviations (the field's "N-sigma")."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return _by_entity(case, np.nanmean(case.normal, 0), np.nanstd(case.normal, 0))


def robust(case: FailureCase) -> Scores:
    """BARO's RobustScorer (Pham et al., FSE 2024): largest deviation above the normal median, in interquartile ranges."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, middle, high = np.nanpercentile(case.normal, [25, 50, 75], axis=0)
        return _by_entity(case, middle, high - low)


def _by_entity(case: FailureCase, centre: F64, scale: F64, signed: bool = True) -> Scores:
    scale = np.where(np.isfinite(scale) & (scale > 0), scale, 1.0)  # as scikit-learn's scalers do
    deviation = (case.abnormal - centre) / scale
    top = np.nanmax(deviation if signed else np.abs(deviation), axis=0)
    flat = (np.nanmax(case.abnormal, 0) == np.nanmin(case.abnormal, 0)) & (
        np.nanmax(case.normal, 0) == np.nanmin(case.normal, 0)
    )
    top = np.where(np.isfinite(top) & ~flat, top, -np.inf)
    out: Scores = {}
    for (entity, _), score in zip(case.columns, top.tolist(), strict=True):
        out[entity] = max(score, out.get(entity, -np.inf))
    return out


def walk(case: FailureCase) -> Scores:
    """Personalised random walk from caller to callee (MonitorRank, Kim et al., SIGMETRICS 2013; MicroRCA, Wu et al., NOMS 2020)."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, middle, high = np.nanpercentile(case.normal, [25, 50, 75], axis=0)
        scores = _by_entity(case, middle, high - low, signed=False)
    return _walk(case, {n: float(np.log1p(max(0.0, s))) for n, s in scores.items() if np.isfinite(s)})


def alert_walk(case: FailureCase) -> Scores:
    """The same walk, weighed by how many alerts a service raises."""
    return _walk(case, {n: float(k) for n, k in Counter(a.entity for a in case.alerts).items()})


def _walk(case: FailureCase, weights: Mapping[str, float]) -> Scores:
    index = {e: i for i, e in enumerate(case.entities)}
    weight = np.array([weights.get(e, 0.0) for e in case.entities])
    n = len(index)
    p = np.zeros((n, n))
    for caller, callee in case.calls:
        if caller in index and callee in index and caller != callee:
            a, b = index[caller], index[callee]
            p[a, b] += weight[b]
            p[b, a] += _BACK * weight[a]
    p[np.diag_indices(n)] = np.maximum(0.0, weight - p.max(axis=1, initial=0.0))
    total = p.sum(axis=1, keepdims=True)
    p = np.divide(p, total, out=np.full_like(p, 1.0 / n), where=total > 0)
    begin = weight / weight.sum() if weight.sum() > 0 else np.full(n, 1.0 / n)
    at = begin.copy()
    for _ in range(_STEPS):
        at = _DAMPING * at @ p + (1 - _DAMPING) * begin
    return dict(zip(case.entities, at.tolist(), strict=True))


def traversal(case: FailureCase) -> Scores:
    """PetShop's anomaly traversal (Hardt et al., CLeaR 2024): on the violated metric, deviating services that call no deviating service
    and are reached from the target over deviating ones, by the deviation summed along the path."""
    if case.target is None:
        return {}
    columns = [i for i, (_, m) in enumerate(case.columns) if m == case.target[1]]
    names = [case.columns[i][0] for i in columns]
    marked = _marked(case.normal[:, columns], case.abnormal[:, columns], names, case.target[0])
    callees: dict[str, set[str]] = {}
    for caller, callee in case.calls:
        if caller != callee:
            callees.setdefault(caller, set()).add(callee)
    found: Scores = {}
    stack = [(case.target[0], marked[case.target[0]], {case.target[0]})] if case.target[0] in marked else []
    while stack:
        name, so_far, seen = stack.pop()
        hot = [c for c in callees.get(name, ()) if c in marked]
        if not hot and name != case.target[0]:
            found[name] = max(found.get(name, 0.0), so_far)
        stack += [(c, so_far + marked[c], seen | {c}) for c in hot if c not in seen]
    return found


def _marked(normal: F64, abnormal: F64, names: list[str], target: str) -> Scores:
    """Who deviates by more than `_MARKED` median absolute deviations at the first sample at which the target does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        middle = np.nanmedian(normal, 0)
        mad = np.nanmedian(np.abs(normal - middle), 0) * 1.4826
        flat = np.nanstd(normal, 0) == 0
        off = np.abs(abnormal - middle)
        off = np.where(flat, off, off / (mad + np.finfo(float).eps))
    few = (~np.isnan(normal)).sum(axis=0) < _FEW
    off = np.where(np.isnan(off) | few, 0.0, off)
    limit = np.where(flat, 0.0, _MARKED)
    row = _SETTLES
    if target in names:
        j = names.index(target)
        rows = [i for i in range(_SETTLES, len(off)) if off[i, j] > limit[j]]
        if not rows:
            return {}
        row = rows[0]
    if row >= len(off):
        return {}
    out: Scores = {}
    for j, name in enumerate(names):
        if off[row, j] > limit[j]:
            out[name] = max(out.get(name, 0.0), float(off[row, j]))
    return out


def alert_count(case: FailureCase) -> Scores:
    """Whoever raises most alerts."""
    return {n: float(k) for n, k in Counter(a.entity for a in case.alerts).items()}


def chance(case: FailureCase) -> Scores:
    """An order without reasons, the same in each run."""
    names = list(case.entities)
    random.Random(zlib.crc32(repr((case.columns[:3], case.alerts[:3], len(case.abnormal))).encode())).shuffle(names)
    return {n: float(-i) for i, n in enumerate(names)}


METRICS: Final[Mapping[str, Callable[[FailureCase], Scores]]] = {
    "chance": chance,
    "N-sigma": n_sigma,
    "BARO": robust,
    "random walk": walk,
    "traversal": traversal,
}
ALERTS: Final[Mapping[str, Callable[[FailureCase], Scores]]] = {
    "chance": chance,
    "alert count": alert_count,
    "random walk": alert_walk,
}
"""What is compared with, by name."""
