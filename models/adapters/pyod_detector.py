"""Any pyod detector over the robust residuals of all services of a signal, refitted from a sliding window.

The services share one model: how a service's features depart *together* when nothing is wrong. Half of the window fits
it, the other half, held out, turns its scores into p-values. Fits run beside the loop (`models.adapters.refits`).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np

from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores, SeriesKey
from models import snapshots
from models.adapters import refits
from models.adapters.attributing import newest_vector, parts_of
from models.adapters.normalising import Normaliser, Residuals, width_seconds
from models.adapters.recipes import Recipe
from models.calibration import conformal_p

VERSION = 2
SIZE = 1024
"""Vectors in the sliding window."""
LEAST = 128
"""Vectors before the first fit."""
PER_WINDOW = 16
"""Vectors taken from one frame, round the rows in turn, so that the window spans minutes."""
EVERY = 60
"""Frames between fits."""
INSTALLED_AFTER = 20
"""Frames from a fit's beginning to its use."""
BUDGET = 256
CALM = 2.0


class SignalModel:
    """The model of one environment and signal: the one in use, with the vectors it was fitted to, and the one being fitted."""

    def __init__(self, normaliser: Normaliser, recipe: Recipe, seed: int) -> None:
        self.normaliser, self.recipe, self.seed = normaliser, recipe, seed
        self.window: F64 = np.zeros((0, 0))
        self.fitted: F64 = np.zeros((0, 0))
        self.fitting: F64 = np.zeros((0, 0))
        self.due = 0
        """Frame at which the fit that runs is taken into use."""
        self.taken = 0
        self.frames = 0
        self.seen: Residuals | None = None
        """The newest frame's."""
        self._fits: dict[str, Future[tuple[Any, F64]]] = {}
        self._model: tuple[Any, F64] | None = None

    @property
    def warm(self) -> bool:
        """Whether there is a model to ask."""
        return bool(len(self.fitted))

    def reset(self) -> None:
        """Forget vectors and models: features came or went."""
        self.window, self.fitted, self.fitting = np.zeros((0, 0)), np.zeros((0, 0)), np.zeros((0, 0))
        self._fits, self._model = {}, None

    def take(self, vectors: F64) -> None:
        """Append calm vectors to the sliding window, and begin a fit where one is due."""
        chosen = np.roll(vectors, -(self.taken % len(vectors)), axis=0)[:PER_WINDOW]
        known = self.window if self.window.shape[1] == chosen.shape[1] else np.zeros((0, chosen.shape[1]))
        self.window = np.concatenate([known, chosen])[-SIZE:]
        self.taken += len(chosen)
        due = self.frames % EVERY == 0 or not self.warm
        if due and len(self.window) >= LEAST and not len(self.fitting):
            self.fitting, self.due = self.window, self.frames + INSTALLED_AFTER
            self._begin("fitting")

    def tick(self) -> None:
        """Another frame: take a fit into use where its time has come."""
        self.frames += 1
        if len(self.fitting) and self.frames >= self.due:
            self.fitted, self.fitting = self.fitting, np.zeros((0, 0))
            fit = self._fits.pop("fitting", None)
            self._fits, self._model = ({"fitted": fit} if fit is not None else {}), None

    def restored(self) -> None:
        """Fit anew what was fitted, and what was being."""
        for which in ("fitted", "fitting"):
            if len(getattr(self, which)):
                self._begin(which)

    def _begin(self, which: str) -> None:
        self._fits[which] = refits.submit(self.recipe, getattr(self, which), self.seed)

    def score(self, vectors: F64) -> F64:
        """P-values of vectors."""
        if self._model is None:
            fit = self._fits.pop("fitted", None)
            self._model = (
                refits.result(fit, self.recipe, self.fitted, self.seed)
                if fit is not None
                else refits.fitted(self.recipe, self.fitted, self.seed)
            )
        model, reference = self._model
        return conformal_p(np.asarray(model.decision_function(vectors), np.float64), reference)


PCA = Recipe("pyod.models.pca.PCA", {"standardization": False})
"""Principal components of joint departures (Shyu et al. 2003)."""


class PyodDetector:
    """A pyod model of joint departures, refitted from a sliding window; principal components where nothing else is asked for."""

    def __init__(self, warmup: int = 30, seed: int = 7, recipe: Recipe = PCA, name: str = "pyod") -> None:
        self.name, self.version = name, f"{recipe.title}/{VERSION}"
        self._warmup, self._seed, self._recipe = warmup, seed, recipe
        self._tracks: dict[tuple[str, str], SignalModel] = {}

    def warm_up(self) -> None:
        """Import what the models need: seconds, which are better spent before the first window than in it. Tries whether they can
        be made."""
        self._recipe.make(self._seed)

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; see the port."""
        key = (frame.environment, frame.signal)
        if key not in self._tracks:
            normaliser = Normaliser(Signal(frame.signal), width_seconds(frame))
            self._tracks[key] = SignalModel(normaliser, self._recipe, self._seed)
        track = self._tracks[key]
        found = track.normaliser.update(frame, learn)
        if found.aligned.widened is not None:
            track.reset()
        track.tick()
        track.seen, meant = found, self._recipe.meant(frame.services)
        seen = track.normaliser.n[found.aligned.rows].max(axis=1, initial=0) >= self._warmup
        warm = np.asarray(seen & meant & track.warm, np.bool_)
        p = self._score(track, found.vectors, warm)
        taught = learn & found.observed & found.aligned.fresh & meant
        if taught.any():
            track.take(found.vectors[taught])
        decades = np.where(warm[:, None], found.decades, 0.0)
        return Scores(decades=decades, low=found.low, high=found.high, p_value=p, warm=warm)

    @staticmethod
    def _score(track: SignalModel, vectors: F64, warm: B1) -> F64:
        p = np.ones(len(vectors))
        strangest = np.abs(vectors).max(axis=1, initial=0.0)
        asked = np.flatnonzero(warm & (strangest > CALM))
        asked = asked[np.argsort(-strangest[asked], kind="stable")][:BUDGET]
        if len(asked):
            p[asked] = track.score(vectors[asked])
        return p

    def parts(self, series: SeriesKey) -> dict[str, float]:
        """What each feature counted in the newest row of a series; see the port."""
        track = self._tracks.get((series.environment, series.signal))
        row = track.normaliser.alignment.slots.find(series.service, series.peer) if track else None
        vector = newest_vector(track.seen, row) if track and track.warm else None
        if track is None or vector is None:
            return {}

        def decades(vectors: F64) -> F64:
            return -np.log10(track.score(vectors))

        return parts_of(vector, track.normaliser.columns.names, decades, self._seed)

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` for what is normal of one series; see the port."""
        track = self._tracks.get((series.environment, series.signal))
        return track.normaliser.rebase(series, levels) if track is not None else {}

    def forget(self, environment: str) -> None:
        """The environment is gone."""
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] != environment}

    def snapshot(self) -> bytes:
        """The whole state."""
        tracks = [
            {
                "environment": environment,
                "normaliser": t.normaliser.plain(),
                "window": t.window,
                "fitted": t.fitted,
                "fitting": t.fitting,
                "due": t.due,
                "taken": t.taken,
                "frames": t.frames,
            }
            for (environment, _), t in self._tracks.items()
        ]
        return snapshots.save(self.name, VERSION, {"recipe": self._recipe.title, "tracks": tracks})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state; models are fitted again from the vectors they were fitted to."""
        self._tracks = {}
        for plain in snapshots.load(self.name, VERSION, state)["tracks"]:
            track = SignalModel(Normaliser.of(plain["normaliser"]), self._recipe, self._seed)
            track.window, track.fitted = plain["window"], plain["fitted"]
            track.taken, track.frames = plain["taken"], plain["frames"]
            track.fitting, track.due = plain.get("fitting", track.fitting), plain.get("due", 0)
            track.restored()
            self._tracks[plain["environment"], track.normaliser.alignment.signal.value] = track
