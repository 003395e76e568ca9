"""A pyod model over the robust residuals of all services of a signal, refitted from a sliding window.

The services share one model: how a service's features depart *together* when nothing is wrong. Half of the window fits
it, the other half, held out, turns its scores into p-values.
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
from models.adapters.normalising import Normaliser, width_seconds
from models.calibration import conformal_p

VERSION = 1
SIZE = 1024
"""Vectors in the sliding window; a fit takes milliseconds at this size."""
LEAST = 128
"""Vectors before the first fit."""
PER_WINDOW = 16
"""Vectors taken from one frame, round the rows in turn, so that the window spans minutes."""
EVERY = 60
"""Frames between fits."""
BUDGET = 256
CALM = 2.0


class SignalModel:
    """The model of one environment and signal."""

    def __init__(self, normaliser: Normaliser) -> None:
        self.normaliser = normaliser
        self.window: F64 = np.zeros((0, 0))
        self.fitted: F64 = np.zeros((0, 0))
        self.taken = 0
        self.frames = 0
        self.model: Any = None
        self.reference: F64 = np.zeros(0)

    def take(self, vectors: F64) -> None:
        """Append calm vectors to the sliding window."""
        known = self.window if self.window.shape[1] == vectors.shape[1] else np.zeros((0, vectors.shape[1]))
        self.window = np.concatenate([known, vectors])[-SIZE:]
        self.taken += len(vectors)

    def fit(self, seed: int) -> None:
        """Fit a model to every other vector of `fitted`; the rest become the reference."""
        if not len(self.fitted):
            self.model = None
            return
        train, held_out = self.fitted[::2], self.fitted[1::2]
        # noise far below a deviation, so that a feature that never moves has no zero variance
        jitter = np.random.default_rng(seed).normal(0.0, 1e-3, train.shape)
        self.model = _model(seed).fit(train + jitter)
        self.reference = np.sort(np.asarray(self.model.decision_function(held_out), np.float64))


def _model(seed: int) -> Any:
    from pyod.models.pca import PCA

    return PCA(random_state=seed, standardization=False)


class PyodDetector:
    """Principal components of joint departures (Shyu et al. 2003), refitted from a sliding window."""

    name = "pyod"
    version = f"pyod-pca/{VERSION}"

    def __init__(self, warmup: int = 30, seed: int = 7) -> None:
        self._warmup, self._seed = warmup, seed
        self._tracks: dict[tuple[str, str], SignalModel] = {}

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; see the port."""
        key = (frame.environment, frame.signal)
        if key not in self._tracks:
            self._tracks[key] = SignalModel(Normaliser(Signal(frame.signal), width_seconds(frame)))
        track = self._tracks[key]
        found = track.normaliser.update(frame, learn)
        if found.aligned.widened is not None:
            track.model, track.window, track.fitted = None, np.zeros((0, 0)), np.zeros((0, 0))
        warm = (track.normaliser.n[found.aligned.rows].max(axis=1, initial=0) >= self._warmup) & (
            track.model is not None
        )
        p = self._score(track, found.vectors, warm)
        taught = learn & found.observed & found.aligned.fresh
        if taught.any():
            self._learn(track, found.vectors[taught])
        decades = np.where(warm[:, None], found.decades, 0.0)
        return Scores(decades=decades, low=found.low, high=found.high, p_value=p, warm=warm)

    @staticmethod
    def _score(track: SignalModel, vectors: F64, warm: B1) -> F64:
        p = np.ones(len(vectors))
        strangest = np.abs(vectors).max(axis=1, initial=0.0)
        asked = np.flatnonzero(warm & (strangest > CALM))
        asked = asked[np.argsort(-strangest[asked], kind="stable")][:BUDGET]
        if len(asked):
            p[asked] = conformal_p(np.asarray(track.model.decision_function(vectors[asked])), track.reference)
        return p

    def _learn(self, track: SignalModel, vectors: F64) -> None:
        track.take(np.roll(vectors, -(track.taken % len(vectors)), axis=0)[:PER_WINDOW])
        track.frames += 1
        due = track.frames % EVERY == 0 or track.model is None
        if due and len(track.window) >= LEAST:
            track.fitted = track.window
            track.fit(self._seed)

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
                "taken": t.taken,
                "frames": t.frames,
            }
            for (environment, _), t in self._tracks.items()
        ]
        return snapshots.save(self.name, VERSION, {"tracks": tracks})

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state; models are fitted again from the vectors they were fitted to."""
        self._tracks = {}
        for plain in snapshots.load(self.name, VERSION, state)["tracks"]:
            track = SignalModel(Normaliser.of(plain["normaliser"]))
            track.window, track.fitted = plain["window"], plain["fitted"]
            track.taken, track.frames = plain["taken"], plain["frames"]
            track.fit(self._seed)
            self._tracks[(plain["environment"], track.normaliser.alignment.signal.value)] = track
