"""Labelled series from folders, and what general series (`models.series`) say of them point by point.

A folder holds one `.npz` a series: `t` (n) epoch seconds, `x` (n) or (n, d), and of `y` (n) labels, `windows` (k, 2) labelled index
pairs, both inclusive, `history` (m, d) unlabelled rows from before, `period_s`, those that there are; or CSV files `timestamp,value` as
the Numenta Anomaly Benchmark has them, with their `combined_windows.json` in the folder, its parent, or `labels` beside it.
"""

from __future__ import annotations

import csv
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np

from contracts.errors import HomeostatError
from contracts.frames.decoded import B1, F64
from contracts.frames.series_frame import SeriesFrame
from contracts.units import SECOND
from models.series.forecasting.forecasts import Forecasting
from models.series.series_watch import SeriesWatch

_WEEK_S: Final = 604_800.0
_WINDOWS: Final = "combined_windows.json"
_PLACES: Final = (".", "..", "labels", "../labels", "../../labels")


@dataclass(frozen=True)
class LabelledSeries:
    """`values` (n, d) measured at `times_s`; `history` (m, d) came before, without labels; `labels` (n) or none; `windows` are inclusive
    index pairs."""

    name: str
    times_s: F64
    values: F64
    history: F64
    labels: B1 | None
    windows: tuple[tuple[int, int], ...] = ()

    @property
    def days(self) -> float:
        """How long it is."""
        return float(self.times_s[-1] - self.times_s[0]) / 86_400.0

    @property
    def marked(self) -> B1:
        """Which points (n) are labelled, or lie in a labelled window where there are no labels by point."""
        if self.labels is not None:
            return self.labels
        found = np.zeros(len(self.values), np.bool_)
        for start, end in self.windows:
            found[start : end + 1] = True
        return found


@dataclass
class SeriesScores:
    """Scores of each series' labelled points, how much of each is news, and microseconds of CPU per point of a dimension."""

    scores: list[F64] = field(default_factory=list)
    news: list[F64] = field(default_factory=list)
    microseconds: float = 0.0
    counters: Counter[str] = field(default_factory=Counter)
    """What became of forecasters, where there are some."""


def read_folder(folder: Path) -> list[LabelledSeries]:
    """The series of a folder, by name.

    Raises:
        HomeostatError: there are none in it, or one can't be read.
    """
    packed = sorted(folder.glob("*.npz"))
    if packed:
        return [_from_npz(path) for path in packed]
    files = sorted(folder.rglob("*.csv"))
    if not files:
        raise HomeostatError(
            f"{folder}: no series in it; a folder of .npz files, or of CSV files `timestamp,value`, is expected"
        )
    windows = _nab_windows(folder)
    return [_from_csv(path, path.relative_to(folder).as_posix(), windows) for path in files]


def scored(series: Sequence[LabelledSeries], forecasting: Forecasting | None = None) -> SeriesScores:
    """What general series say, each file by itself: all of its dimensions are one group."""
    found, points, began = SeriesScores(), 0, time.process_time()
    for one in series:
        watch, scores, news = SeriesWatch("", forecasting=forecasting), [], []
        for frame in _frames(one):
            score, new = next(iter(watch.scores(frame).values()), (0.0, 0.0))
            scores.append(score)
            news.append(new)
        points += len(scores) * one.values.shape[1]
        found.scores.append(np.array(scores[len(one.history) :]))
        found.news.append(np.array(news[len(one.history) :]))
        found.counters.update(watch.counters)
    found.microseconds = (time.process_time() - began) / max(1, points) * 1e6
    return found


def _frames(one: LabelledSeries) -> Iterator[SeriesFrame]:
    width = one.values.shape[1]
    names = tuple(f"{one.name}.{j}" for j in range(width)) if width > 1 else (one.name,)
    groups = (one.name if width > 1 else "",) * width
    directions, which = np.zeros(width, dtype=np.int8), np.arange(width, dtype=np.int32)
    apart = float(np.median(np.diff(one.times_s))) if len(one.times_s) > 1 else 60.0
    times_s = np.concatenate([one.times_s[0] - apart * np.arange(len(one.history), 0, -1), one.times_s])
    weeks = np.ceil(
        max(0.0, 1.0 - times_s[0]) / _WEEK_S
    )  # some sets count from 0; time of day and week stay as they are
    for at, row in zip(times_s + weeks * _WEEK_S, np.vstack([one.history, one.values]), strict=True):
        times = np.full(width, int(at * SECOND), dtype=np.int64)
        yield SeriesFrame("", names, groups, directions, directions, which, times, row)


def _from_npz(path: Path) -> LabelledSeries:
    try:
        with np.load(path) as held:
            found: dict[str, Any] = {name: held[name] for name in held.files}
        values = np.atleast_2d(found["x"].astype(float).T).T
        return LabelledSeries(
            path.stem,
            found["t"].astype(float),
            values,
            found["history"].astype(float) if "history" in found else np.zeros((0, values.shape[1])),
            found["y"].astype(bool) if "y" in found else None,
            tuple((int(a), int(b)) for a, b in found.get("windows", ())),
        )
    except (KeyError, ValueError, OSError) as e:
        raise HomeostatError(f"{path}: not a series: {e}") from e


def _nab_windows(folder: Path) -> dict[str, list[list[str]]]:
    for place in _PLACES:
        path = folder / place / _WINDOWS
        if path.is_file():
            windows: dict[str, list[list[str]]] = json.loads(path.read_text("utf-8"))
            return windows
    raise HomeostatError(f"{folder}: no {_WINDOWS} in it, above it, or in labels/ beside it: what is to be found?")


def _from_csv(path: Path, name: str, windows: dict[str, list[list[str]]]) -> LabelledSeries:
    try:
        with path.open(newline="", encoding="utf-8") as lines:
            rows = [(_seconds(row["timestamp"]), float(row["value"])) for row in csv.DictReader(lines)]
    except (KeyError, ValueError) as e:
        raise HomeostatError(f"{path}: not a series with columns timestamp and value: {e}") from e
    times = np.array([t for t, _ in rows])
    key = next((k for k in windows if k == name or k.endswith(f"/{name}") or name.endswith(f"/{k}")), name)
    found = tuple(
        (int(np.searchsorted(times, _seconds(a))), int(np.searchsorted(times, _seconds(b), side="right")) - 1)
        for a, b in windows.get(key, ())
    )
    return LabelledSeries(name, times, np.array([[v] for _, v in rows]), np.zeros((0, 1)), None, found)


def _seconds(said: str) -> float:
    at = datetime.fromisoformat(said)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
