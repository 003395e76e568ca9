"""`homeostat bench detect FOLDER…`: general series against labels, beside two library detectors in the same run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from contracts.frames.decoded import F64
from homeostat.bench.event_scores import PROFILES, NabScore, best_threshold, carried_over, pooled
from homeostat.bench.labelled_series import LabelledSeries, SeriesScores, read_folder, scored

_REFIT, _BACK = 500, 2000
"""The baseline that is fitted in batches: every so many points, on so many of the last."""
_HOLD: Final = 150
"""Points that a baseline learns from before it may say anything."""
_FEWEST: Final = 2
"""Series from which there is another half to take thresholds from."""


def report(folders: Sequence[Path], *, rivals: bool = True) -> Iterator[str]:
    """Lines for people, one set after the other."""
    for folder in folders:
        series = read_folder(folder)
        yield f"{folder.name}: {len(series)} series, {sum(len(s.values) for s in series)} points"
        yield from _lines("homeostat", series, scored(series))
        if rivals:
            yield from _lines("river HalfSpaceTrees", series, _each(series, _half_space_trees))
            yield from _lines("pyod ECOD", series, _each(series, _ecod))


def _lines(name: str, series: Sequence[LabelledSeries], said: SeriesScores) -> Iterator[str]:
    if all(s.labels is not None for s in series):
        yield f"  {name:22}{_events(series, said)}"
    else:
        yield f"  {name:22}{_nab(series, said)}"


def _events(series: Sequence[LabelledSeries], said: SeriesScores) -> str:
    labels = [s.labels for s in series if s.labels is not None]
    top = pooled(said.scores, labels, best_threshold(said.scores, labels))
    if len(series) < _FEWEST:
        return f"event F1 {top.f1:.3f} with the best threshold (there are no others to take one from); {said.microseconds:.1f} µs a point"
    held = carried_over(said.scores, labels)
    per_day = held.false_alarms / sum(s.days for s in series)
    delay = statistics.median(held.delays) if held.delays else float("nan")
    return (
        f"event F1 {held.f1:.3f} with thresholds of the other half (P {held.precision:.2f}, R {held.recall:.2f}, "
        f"{per_day:.3f} false alarms a series-day, found after {delay:g} points at the median), {top.f1:.3f} with the best threshold; "
        f"{said.microseconds:.1f} µs a point"
    )


def _nab(series: Sequence[LabelledSeries], said: SeriesScores) -> str:
    nab = NabScore([len(s.values) for s in series], [s.windows for s in series])
    everything = range(len(series))
    parts = []
    for profile in PROFILES:
        best = nab.score(said.news, profile, nab.best(said.news, profile, everything), everything)
        if len(series) < _FEWEST:
            parts.append(f"{profile} ({best:.1f})")
            continue
        halves = [
            nab.score(said.news, profile, nab.best(said.news, profile, everything[1 - i :: 2]), everything[i::2])
            for i in (0, 1)
        ]
        parts.append(f"{profile} {statistics.mean(halves):.1f} ({best:.1f})")
    return f"NAB {', '.join(parts)}: threshold of the other half (in brackets the best of all); {said.microseconds:.1f} µs a point"


def _each(series: Sequence[LabelledSeries], rival: Callable[[F64], F64]) -> SeriesScores:
    found, points, began = SeriesScores(), 0, time.process_time()
    for one in series:
        rows = np.vstack([one.history[-_BACK:], one.values])
        known = np.isfinite(rows).all(axis=1)  # neither of them takes what is missing
        score = np.zeros(len(rows))
        score[known] = rival(rows[known])
        score = score[len(rows) - len(one.values) :]
        points += rows.size
        found.scores.append(score)
        found.news.append(score)
    found.microseconds = (time.process_time() - began) / max(1, points) * 1e6
    return found


def _half_space_trees(rows: F64) -> F64:
    from river import anomaly, compose, preprocessing

    model: Any = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=7))
    scores = np.zeros(len(rows))
    for i, row in enumerate(rows):
        point = dict(enumerate(row.tolist()))
        scores[i] = model.score_one(point) if i >= _HOLD else 0.0
        model.learn_one(point)
    return scores


def _ecod(rows: F64) -> F64:
    from pyod.models.ecod import ECOD

    scores = np.zeros(len(rows))
    for start in range(_HOLD, len(rows), _REFIT):
        past, now = rows[max(0, start - _BACK) : start], rows[start : start + _REFIT]
        model = ECOD().fit(past)
        spread = float(np.std(model.decision_scores_)) or 1.0
        scores[start : start + len(now)] = (
            model.decision_function(now) - float(np.mean(model.decision_scores_))
        ) / spread
    return scores
