"""Any river model, one per service, over robust residuals and calibrated by its own calm scores.

river's anomaly detectors score as they are; its regressors and forecasters are asked for what is to be expected, and how far they
are off is the score. A model costs tens of microseconds, so the work per window is bounded: rows whose residuals are all small
are unremarkable without asking, and learning goes round the services in turn.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores, SeriesKey
from models import snapshots
from models.adapters.attributing import newest_vector, parts_of
from models.adapters.normalising import REACH, Normaliser, Residuals, width_seconds
from models.adapters.recipes import Recipe, accepted
from models.calibration import Reference

VERSION = 2
CALM = 2.0
"""Residuals below this need no second look."""
BUDGET = 48
"""Rows asked of, and rows taught to, the models in one window."""
NEW = 4
"""Services whose models are made in one window: making them costs far more than asking."""
REFERENCE = 128
MEMORY = 60
"""Vectors after which a model begins anew from the last so many: its state follows from what is kept, and nothing that can run has
to be saved."""


class ServiceModel:
    """The model of one series."""

    def __init__(self, recipe: Recipe, features: int, seed: int) -> None:
        self.recipe, self.features, self.seed = recipe, features, seed
        self.previous: list[list[float]] = []
        self.current: list[list[float]] = []
        self.scores = Reference(REFERENCE)
        self._model: RiverModel | None = None

    @property
    def warm(self) -> bool:
        """Whether the model holds one whole memory and there are scores to compare with."""
        return bool(self.previous) and len(self.scores) >= 16

    @property
    def model(self) -> RiverModel:
        """The model, made when first needed: the same seed and the same vectors make the same model."""
        if self._model is None:
            self._model = RiverModel.made(self.recipe, self.features, self.seed)
            for vector in (*self.previous, *self.current):
                self._model.learn(vector)
        return self._model

    def score(self, vector: F64) -> float:
        """Higher is stranger."""
        return self.model.score([float(v) for v in vector])

    def learn(self, vector: F64) -> None:
        """Score, remember the score as calm, and let the model learn."""
        if self.previous:
            self.scores.add(self.score(vector))
        values = [float(v) for v in vector]
        self.model.learn(values)
        self.current.append(values)
        if len(self.current) == MEMORY:
            self.previous, self.current, self._model = self.current, [], None

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        kept = {"previous": self.previous, "current": self.current, "features": self.features, "seed": self.seed}
        return {**kept, "scores": self.scores.values, "count": self.scores.count}

    @classmethod
    def of(cls, plain: dict[str, Any], recipe: Recipe) -> ServiceModel:
        """Inverse of `plain`."""
        it = cls(recipe, plain["features"], plain["seed"])
        it.previous, it.current = plain["previous"], plain["current"]
        it.scores = Reference(REFERENCE, plain["scores"], plain["count"])
        return it


@dataclass(slots=True)
class RiverModel:
    """A river estimator (or one per feature, where it knows one target at a time) behind two methods."""

    parts: list[Any]
    way: str
    """`score` (an anomaly detector), `supervised` (one that is told the target), `regress`, `forecast`."""

    @classmethod
    def made(cls, recipe: Recipe, features: int, seed: int) -> RiverModel:
        """The model that a recipe describes, of so many features."""
        limits: dict[Any, tuple[float, float]] = dict.fromkeys(range(features), (-REACH, REACH))
        first = recipe.make(seed=seed, **({"limits": limits} if accepted(recipe.load(), "limits") else {}))
        way = _way(first)
        return cls([first] + [first.clone() for _ in range(0 if way == "score" else features - 1)], way)

    def score(self, values: list[float]) -> float:
        """How strange a vector is."""
        if self.way == "score":
            return float(self.parts[0].score_one(_named(values)))
        return max(self._part_score(i, part, values) for i, part in enumerate(self.parts))

    def _part_score(self, i: int, part: Any, values: list[float]) -> float:
        others = {j: v for j, v in enumerate(values) if j != i}
        if self.way == "supervised":
            return float(part.score_one(others, values[i]))
        if self.way == "regress":
            return abs(float(part.predict_one(others)) - values[i])
        try:
            return abs(float(part.forecast(1)[0]) - values[i])
        except (IndexError, ValueError):  # before it has seen enough to forecast
            return 0.0

    def learn(self, values: list[float]) -> None:
        """Learn a calm vector."""
        if self.way == "score":
            self.parts[0].learn_one(_named(values))
            return
        for i, part in enumerate(self.parts):
            if self.way == "forecast":
                part.learn_one(values[i])
            elif self.way == "supervised" and not _takes_features(part.learn_one):
                part.learn_one(None, values[i])
            else:
                part.learn_one({j: v for j, v in enumerate(values) if j != i}, values[i])


def _takes_features(method: Any) -> bool:
    return next(iter(inspect.signature(method).parameters), "") != "_"


def _way(model: Any) -> str:
    if hasattr(model, "score_one"):
        return "supervised" if "y" in inspect.signature(model.score_one).parameters else "score"
    return "forecast" if hasattr(model, "forecast") else "regress"


def _named(values: list[float]) -> dict[Any, float]:
    return dict(enumerate(values))


@dataclass(slots=True)
class _Track:
    """One environment and signal."""

    normaliser: Normaliser
    models: dict[int, ServiceModel] = field(default_factory=dict)
    turn: int = 0
    seen: Residuals | None = None
    """The newest frame's."""


HALF_SPACE_TREES = Recipe("river.anomaly.HalfSpaceTrees", {"n_trees": 6, "height": 4, "window_size": MEMORY})
"""Tan, Ting & Liu 2011."""


class RiverDetector:
    """A river model per service over robust residuals; half-space trees where nothing else is asked for."""

    def __init__(self, warmup: int = 30, seed: int = 7, recipe: Recipe = HALF_SPACE_TREES, name: str = "river") -> None:
        self.name, self.version = name, f"{recipe.title}/{VERSION}"
        self._warmup, self._seed, self._recipe = warmup, seed, recipe
        self._tracks: dict[tuple[str, str], _Track] = {}

    def warm_up(self) -> None:
        """Import what the models need: seconds, which are better spent before the first window than in it. Tries whether they can
        be made."""
        self._recipe.make(self._seed)

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; see the port."""
        key = (frame.environment, frame.signal)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(Normaliser(Signal(frame.signal), width_seconds(frame)))
        found = track.normaliser.update(frame, learn)
        if found.aligned.widened is not None or found.aligned.evicted is not None:
            track.models.clear()
        track.seen, meant = found, self._recipe.meant(frame.services)
        p, warm = self._score(found, track.models, meant)
        self._learn(found, track, np.asarray(learn & found.aligned.fresh & meant, np.bool_))
        decades = np.where(warm[:, None], found.decades, 0.0)
        return Scores(decades=decades, low=found.low, high=found.high, p_value=p, warm=warm)

    @staticmethod
    def _score(found: Residuals, models: dict[int, ServiceModel], meant: B1) -> tuple[F64, B1]:
        """P-value per row; the most departing rows first, as far as the budget goes."""
        rows = found.aligned.rows
        p = np.ones(len(rows))
        warm = np.array([(m := models.get(row)) is not None and m.warm for row in rows.tolist()], np.bool_) & meant
        strangest = np.abs(found.vectors).max(axis=1, initial=0.0)
        asked = np.flatnonzero(warm & (strangest > CALM))
        asked = asked[np.argsort(-strangest[asked], kind="stable")][:BUDGET]
        for i in asked:
            model = models[int(rows[i])]
            p[i] = model.scores.p(model.score(found.vectors[i]))
        return p, warm

    def _learn(self, found: Residuals, track: _Track, learn: B1) -> None:
        """Teach the next `BUDGET` of the rows that may be learnt from, round and round."""
        usable = np.flatnonzero(learn & found.observed)
        if not len(usable):
            return
        chosen = np.roll(usable, -(track.turn % len(usable)))[:BUDGET]
        track.turn += len(chosen)
        width, new = found.vectors.shape[1], 0
        for i in chosen:
            row = int(found.aligned.rows[i])
            if row not in track.models:
                new += 1
                if new > NEW:
                    continue
                track.models[row] = ServiceModel(self._recipe, width, self._seed + row)
            track.models[row].learn(found.vectors[i])

    def parts(self, series: SeriesKey) -> dict[str, float]:
        """What each feature counted in the newest row of a series; see the port."""
        track = self._tracks.get((series.environment, series.signal))
        row = track.normaliser.alignment.slots.find(series.service, series.peer) if track else None
        model = track.models.get(row) if track and row is not None else None
        vector = newest_vector(track.seen, row) if track else None
        if track is None or model is None or vector is None:
            return {}

        def decades(vectors: F64) -> F64:
            return -np.log10([model.scores.p(model.score(vector)) for vector in vectors])

        return parts_of(vector, track.normaliser.columns.names, decades, self._seed)

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` for what is normal of one series; see the port. Its model begins anew."""
        track = self._tracks.get((series.environment, series.signal))
        if track is None:
            return {}
        row = track.normaliser.alignment.slots.find(series.service, series.peer)
        if row is not None:
            track.models.pop(row, None)
        return track.normaliser.rebase(series, levels)

    def forget(self, environment: str) -> None:
        """The environment is gone."""
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] != environment}

    def snapshot(self) -> bytes:
        """The whole state."""
        tracks = [
            {
                "environment": environment,
                "normaliser": track.normaliser.plain(),
                "turn": track.turn,
                "models": [[row, model.plain()] for row, model in track.models.items()],
            }
            for (environment, _), track in self._tracks.items()
        ]
        return snapshots.save(self.name, VERSION, {"recipe": self._recipe.title, "tracks": tracks})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state; of another model only what it knows of levels."""
        self._tracks = {}
        body = snapshots.load(self.name, VERSION, state)
        same = body.get("recipe") == self._recipe.title
        for plain in body["tracks"]:
            track = _Track(Normaliser.of(plain["normaliser"]), turn=plain["turn"])
            if same:
                track.models = {int(row): ServiceModel.of(model, self._recipe) for row, model in plain["models"]}
            self._tracks[plain["environment"], track.normaliser.alignment.signal.value] = track
