"""One river model of one series: what it learnt, by which scores it is calibrated, and when it is held."""

from __future__ import annotations

import inspect
import math
from dataclasses import dataclass
from typing import Any

from contracts.frames.decoded import F64
from contracts.units import MINUTE
from models.adapters.normalising import REACH
from models.adapters.recipes import Recipe, accepted
from models.calibration import Reference

REFERENCE = 128
MEMORY = 60
"""Vectors after which a model begins anew from the last so many: its state follows from what is kept, and nothing that can run has
to be saved."""
MATURE_NS = 10 * MINUTE
"""Age from which a model is held, where drift is watched for. By hand: a season of seconds is over, a service has warmed up."""
NEVER = 1 << 62


class ServiceModel:
    """The model of one series. Before `matures_ns` (event time) it learns all the time, then it is held."""

    def __init__(self, recipe: Recipe, features: int, seed: int, matures_ns: int = NEVER) -> None:
        self.recipe, self.features, self.seed, self.matures_ns = recipe, features, seed, matures_ns
        self.held_at = -1
        """How many scores there had been when it was held; -1: it isn't."""
        self.previous: list[list[float]] = []
        self.current: list[list[float]] = []
        self.scores = Reference(REFERENCE)
        self._model: RiverModel | None = None

    @property
    def warm(self) -> bool:
        """Whether the model holds one whole memory and there are scores to compare with."""
        return bool(self.previous) and len(self.scores) >= 16

    @property
    def settled(self) -> bool:
        """Whether it is held, and compared with scores of its own alone: then it stays as it is."""
        return self.held_at >= 0 and self.scores.count >= self.held_at + REFERENCE

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

    def decades(self, vector: F64) -> float:
        """How strange a vector is, as -log10 p."""
        return -math.log10(self.scores.p(self.score(vector)))

    def learn(self, vector: F64, now_ns: int) -> bool:
        """Score, remember the score as calm, and let the model learn unless it is held; whether it is settled now."""
        if self.previous:
            self.scores.add(self.score(vector))
        if self.held_at < 0:
            self._learn(vector, now_ns)
        return self.settled

    def _learn(self, vector: F64, now_ns: int) -> None:
        values = [float(v) for v in vector]
        self.model.learn(values)
        self.current.append(values)
        if len(self.current) < MEMORY:
            return
        if self.previous and now_ns >= self.matures_ns:
            self.held_at = self.scores.count
        else:
            self.previous, self.current, self._model = self.current, [], None

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        kept = {"previous": self.previous, "current": self.current, "features": self.features, "seed": self.seed}
        held = {"matures_ns": self.matures_ns, "held_at": self.held_at}
        return {**kept, **held, "scores": self.scores.values, "count": self.scores.count}

    @classmethod
    def of(cls, plain: dict[str, Any], recipe: Recipe) -> ServiceModel:
        """Inverse of `plain`."""
        it = cls(recipe, plain["features"], plain["seed"], plain.get("matures_ns", NEVER))
        it.held_at = plain.get("held_at", -1)
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
