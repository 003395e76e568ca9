"""`homeostat bench detect FOLDER…`: general series against labels, beside two detectors of libraries and chance in the same run."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from contracts.frames.decoded import F64
from homeostat.bench.event_scores import PROFILES, EventCounts, NabScore, best_threshold, carried_over, pooled
from homeostat.bench.forecasting import ForecastFigures, forecast_figures
from homeostat.bench.labelled_series import LabelledSeries, SeriesScores, read_folder, scored
from homeostat.bench.vus_pr import buffer_of, vus_pr
from models.series.forecasting.forecasts import Forecasting

_REFIT, _BACK = 500, 2000
"""The baseline that is fitted in batches: every so many points, on so many of the last."""
_HOLD: Final = 150
"""Points that a baseline learns from before it may say anything."""
_FEWEST: Final = 2
"""Series from which there is another half to take thresholds from."""
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class DetectorFigures:
    """How one detector did on one set. Each pair is (with thresholds of the other half of the set, with the best one for all); the first is
    None where there is no other half. Precision to delay are at the first kind of threshold, where there is one."""

    detector: str
    event_f1: tuple[float | None, float]
    precision: float
    recall: float
    false_alarms_per_series_day: float
    delay_points: float | None
    """Median points from the beginning of what is labelled to its alarm; None if nothing was found."""
    vus_pr: float | None
    """Mean over the series that have labels, each with buffers up to its own period; None if none has."""
    nab: dict[str, tuple[float | None, float]]
    """By profile, where windows are labelled; else empty."""
    microseconds_per_point: float

    def lines(self) -> Iterator[str]:
        """For people."""
        held, best = self.event_f1
        first = f"event F1 {_both(held, best, 3)}: precision {self.precision:.2f}, recall {self.recall:.2f}"
        found = "nothing found" if self.delay_points is None else f"found after {self.delay_points:g} points"
        volume = "" if self.vus_pr is None else f"; VUS-PR {self.vus_pr:.3f}"
        yield (
            f"  {self.detector:22}{first}, {found}, {self.false_alarms_per_series_day:.3f} false alarms a series-day"
            f"{volume}; {self.microseconds_per_point:.1f} µs a point"
        )
        if self.nab:
            yield f"  {'':22}NAB " + ", ".join(f"{name} {_both(*pair, 1)}" for name, pair in self.nab.items())


@dataclass(frozen=True, slots=True)
class SetFigures:
    """What was measured on one folder."""

    name: str
    series: int
    points: int
    detectors: list[DetectorFigures]
    forecasts: ForecastFigures | None = None
    """Where forecasters are named."""


def figures(
    folders: Sequence[Path], *, rivals: bool = True, forecasting: Forecasting | None = None
) -> Iterator[SetFigures]:
    """One set after the other; with forecasters general series are judged with them and without.

    Raises:
        HomeostatError: there are no series in one, or one of them can't be read.
    """
    for folder in folders:
        series = read_folder(folder)
        found = [_of_detector("homeostat", series, scored(series))]
        if forecasting is not None:
            found.append(_of_detector("with forecasters", series, scored(series, forecasting)))
        for name, rival in _RIVALS.items() if rivals else ():
            found.append(_of_detector(name, series, _each(series, rival)))
        forecasts = None if forecasting is None else forecast_figures(series, forecasting)
        yield SetFigures(folder.name, len(series), sum(len(s.values) for s in series), found, forecasts)


def report(found: SetFigures) -> Iterator[str]:
    """Lines for people."""
    yield f"{found.name}: {found.series} series, {found.points} points"
    if found.series < _FEWEST:
        yield "  thresholds are the best ones of the set itself: there are no others to take one from"
    else:
        yield "  with thresholds of the other half of the set; in brackets with the best one for all"
    for detector in found.detectors:
        yield from detector.lines()
    if found.forecasts is not None:
        yield from found.forecasts.lines()


def _both(held: float | None, best: float, digits: int) -> str:
    return f"({best:.{digits}f})" if held is None else f"{held:.{digits}f} ({best:.{digits}f})"


def _of_detector(name: str, series: Sequence[LabelledSeries], said: SeriesScores) -> DetectorFigures:
    labels = [s.marked for s in series]
    best = pooled(said.scores, labels, best_threshold(said.scores, labels))
    held = carried_over(said.scores, labels) if len(series) >= _FEWEST else None
    counts: EventCounts = held or best
    volumes = [
        vus_pr(scores, s.marked, buffer_of(s.values))
        for s, scores in zip(series, said.scores, strict=True)
        if s.marked.any()
    ]
    return DetectorFigures(
        detector=name,
        event_f1=(held.f1 if held else None, best.f1),
        precision=counts.precision,
        recall=counts.recall,
        false_alarms_per_series_day=counts.false_alarms / max(sum(s.days for s in series), 1e-9),
        delay_points=statistics.median(counts.delays) if counts.delays else None,
        vus_pr=statistics.mean(volumes) if volumes else None,
        nab=_nab(series, said) if any(s.windows for s in series) else {},
        microseconds_per_point=said.microseconds,
    )


def _nab(series: Sequence[LabelledSeries], said: SeriesScores) -> dict[str, tuple[float | None, float]]:
    nab = NabScore([len(s.values) for s in series], [s.windows for s in series])
    everything = range(len(series))
    found: dict[str, tuple[float | None, float]] = {}
    for profile in PROFILES:
        best = nab.score(said.news, profile, nab.best(said.news, profile, everything), everything)
        if len(series) < _FEWEST:
            found[profile] = (None, best)
            continue
        halves = [
            nab.score(said.news, profile, nab.best(said.news, profile, everything[1 - i :: 2]), everything[i::2])
            for i in (0, 1)
        ]
        found[profile] = (statistics.mean(halves), best)
    return found


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

    model: Any = compose.Pipeline(preprocessing.MinMaxScaler(), anomaly.HalfSpaceTrees(seed=_SEED))
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
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of dimensions that never move
            model = ECOD().fit(past)
            said = model.decision_function(now)
        spread = float(np.std(model.decision_scores_)) or 1.0
        scores[start : start + len(now)] = (said - float(np.mean(model.decision_scores_))) / spread
    return scores


def _chance(rows: F64) -> F64:
    """What says nothing: what a figure is worth shows beside it."""
    return np.random.default_rng(_SEED).random(len(rows))


_RIVALS: Final[Mapping[str, Callable[[F64], F64]]] = {
    "river HalfSpaceTrees": _half_space_trees,
    "pyod ECOD": _ecod,
    "chance": _chance,
}
