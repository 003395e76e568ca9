"""river's half-space trees, one online model per service (Tan, Ting & Liu 2011), calibrated by its own calm scores.

A tree costs tens of microseconds, so the work per window is bounded: rows whose residuals are all small are
unremarkable without asking the trees, and learning goes round the services in turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores, SeriesKey
from models import snapshots
from models.adapters.normalising import REACH, Normaliser, Residuals, width_seconds
from models.calibration import Reference

VERSION = 1
TREES, HEIGHT, WINDOW = 6, 4, 60
CALM = 2.0
"""Residuals below this need no second look."""
BUDGET = 48
"""Rows asked of, and rows taught to, the trees in one window."""
NEW = 4
"""Services whose trees are grown in one window: growing costs far more than asking."""
REFERENCE = 128


class ServiceModel:
    """Trees of one series. Their state follows from the vectors since the last pivot but one, which is what is kept."""

    def __init__(self, features: int, seed: int) -> None:
        self.features, self.seed = features, seed
        self.previous: list[list[float]] = []
        self.current: list[list[float]] = []
        self.scores = Reference(REFERENCE)
        self._trees: Any = None

    @property
    def warm(self) -> bool:
        """Whether the trees hold one whole window and there are scores to compare with."""
        return bool(self.previous) and len(self.scores) >= 16

    @property
    def trees(self) -> Any:
        """The trees, grown when first needed: the same seed grows the same trees, the same vectors fill them."""
        if self._trees is None:
            self._trees = _grow(self.features, self.seed)
            for vector in (*self.previous, *self.current):
                self._trees.learn_one(_named(vector))
        return self._trees

    def score(self, vector: F64) -> float:
        """0..1, higher is stranger; 0 during the first window."""
        return float(self.trees.score_one(_named(vector)))

    def learn(self, vector: F64) -> None:
        """Score, remember the score as calm, and let the trees learn."""
        if self.previous:
            self.scores.add(self.score(vector))
        self.trees.learn_one(_named(vector))
        self.current.append([float(v) for v in vector])
        if len(self.current) == WINDOW:
            self.previous, self.current = self.current, []

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        kept = {"previous": self.previous, "current": self.current, "features": self.features, "seed": self.seed}
        return {**kept, "scores": self.scores.values, "count": self.scores.count}

    @classmethod
    def of(cls, plain: dict[str, Any]) -> ServiceModel:
        """Inverse of `plain`."""
        it = cls(plain["features"], plain["seed"])
        it.previous, it.current = plain["previous"], plain["current"]
        it.scores = Reference(REFERENCE, plain["scores"], plain["count"])
        return it


def _grow(features: int, seed: int) -> Any:
    from river.anomaly import HalfSpaceTrees

    limits: dict[Any, tuple[float, float]] = dict.fromkeys(range(features), (-REACH, REACH))
    return HalfSpaceTrees(n_trees=TREES, height=HEIGHT, window_size=WINDOW, limits=limits, seed=seed)


def _named(vector: F64 | list[float]) -> dict[Any, float]:
    return {i: float(v) for i, v in enumerate(vector)}


class RiverDetector:
    """Half-space trees per service over robust residuals."""

    name = "river"
    version = f"river-hst/{VERSION}"

    def __init__(self, warmup: int = 30, seed: int = 7) -> None:
        self._warmup, self._seed = warmup, seed
        self._tracks: dict[tuple[str, str], tuple[Normaliser, dict[int, ServiceModel], list[int]]] = {}

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; see the port."""
        key = (frame.environment, frame.signal)
        if key not in self._tracks:
            self._tracks[key] = Normaliser(Signal(frame.signal), width_seconds(frame)), {}, [0]
        normaliser, models, turn = self._tracks[key]
        found = normaliser.update(frame, learn)
        if found.aligned.widened is not None or found.aligned.evicted is not None:
            models.clear()
        p, warm = self._score(found, models)
        self._learn(found, models, turn, np.asarray(learn & found.aligned.fresh, np.bool_))
        decades = np.where(warm[:, None], found.decades, 0.0)
        return Scores(decades=decades, low=found.low, high=found.high, p_value=p, warm=warm)

    def _score(self, found: Residuals, models: dict[int, ServiceModel]) -> tuple[F64, B1]:
        """P-value per row; the most departing rows first, as far as the budget goes."""
        rows = found.aligned.rows
        p = np.ones(len(rows))
        warm = np.array([(m := models.get(int(row))) is not None and m.warm for row in rows], np.bool_)
        strangest = np.abs(found.vectors).max(axis=1, initial=0.0)
        asked = np.flatnonzero(warm & (strangest > CALM))
        asked = asked[np.argsort(-strangest[asked], kind="stable")][:BUDGET]
        for i in asked:
            model = models[int(rows[i])]
            p[i] = model.scores.p(model.score(found.vectors[i]))
        return p, warm

    def _learn(self, found: Residuals, models: dict[int, ServiceModel], turn: list[int], learn: B1) -> None:
        """Teach the next `BUDGET` of the rows that may be learnt from, round and round."""
        usable = np.flatnonzero(learn & found.observed)
        if not len(usable):
            return
        start = turn[0] % len(usable)
        chosen = np.roll(usable, -start)[:BUDGET]
        turn[0] += len(chosen)
        width, new = found.vectors.shape[1], 0
        for i in chosen:
            row = int(found.aligned.rows[i])
            if row not in models:
                new += 1
                if new > NEW:
                    continue
                models[row] = ServiceModel(width, self._seed + row)
            models[row].learn(found.vectors[i])

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` for what is normal of one series; see the port. Its trees grow anew."""
        track = self._tracks.get((series.environment, series.signal))
        if track is None:
            return {}
        normaliser, models, _ = track
        row = normaliser.alignment.slots.find(series.service, series.peer)
        if row is not None:
            models.pop(row, None)
        return normaliser.rebase(series, levels)

    def forget(self, environment: str) -> None:
        """The environment is gone."""
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] != environment}

    def snapshot(self) -> bytes:
        """The whole state."""
        tracks = [
            {
                "environment": environment,
                "normaliser": normaliser.plain(),
                "turn": turn[0],
                "models": [[row, model.plain()] for row, model in models.items()],
            }
            for (environment, _), (normaliser, models, turn) in self._tracks.items()
        ]
        return snapshots.save(self.name, VERSION, {"tracks": tracks})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state."""
        self._tracks = {}
        for track in snapshots.load(self.name, VERSION, state)["tracks"]:
            normaliser = Normaliser.of(track["normaliser"])
            models = {int(row): ServiceModel.of(model) for row, model in track["models"]}
            key = (track["environment"], normaliser.alignment.signal.value)
            self._tracks[key] = normaliser, models, [track["turn"]]
