"""Any pyod detector over the robust residuals of all services of a signal, refitted from a sliding window.

The services share one model: how a service's features depart *together* when nothing is wrong. Half of the window fits
it, the other half, held out, turns its scores into p-values. Fits run beside the loop (`models.adapters.refits`).

A young model is refitted every minute. Where drift is watched for, it is held once it is `MATURE_NS` old, and another takes its place where that
proves better on the same stream (`models.adapters.succession`). State per signal: the vectors of at most three fits, of which one is being made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import ClaimOutcome, Scores, SeriesKey
from contracts.units import MINUTE, SECOND
from models import snapshots
from models.adapters import refits
from models.adapters.attributing import newest_vector, parts_of
from models.adapters.drift import CalmMinutes, DriftWatch, surprise
from models.adapters.normalising import Normaliser, Residuals, width_seconds
from models.adapters.recipes import Recipe
from models.adapters.succession import Lineage, MemberOfModels, Replacement, Succession
from models.calibration import conformal_p

VERSION = 3
SIZE = 1024
"""Vectors in the sliding window."""
LEAST = 128
"""Vectors before the first fit."""
PER_WINDOW = 16
"""Vectors taken from one frame, round the rows in turn, so that the window spans minutes."""
WATCHED = 16
"""Rows of a frame that a held model is watched by, round the rows in turn."""
MATURE_NS = 10 * MINUTE
"""Age from which a model is held, where drift is watched for, and has seen `SIZE` vectors. By hand, as for river."""
TRAIN_NS = 4 * MINUTE
"""For how long windows are collected for a challenger once a drift was noticed: `SIZE` vectors of some services. By hand."""
EVERY = 60
"""Frames between fits."""
INSTALLED_AFTER = 20
"""Frames from a fit's beginning to its use."""
BUDGET = 256
CALM = 2.0
NOTED_P = 0.05
"""P-value from which it is put on record what both models say of a row. By hand, as a word beside the leader's is heard from."""
EVERYBODY = "*"
"""For whom a model is, in what is told of it."""


class Fit:
    """A model by the vectors that it was, or is being, fitted to."""

    def __init__(self, recipe: Recipe, seed: int, vectors: F64) -> None:
        self.recipe, self.seed, self.vectors = recipe, seed, vectors
        self._future: Future[tuple[Any, F64]] = refits.submit(refits.fitted, recipe, vectors, seed)
        self._model: tuple[Any, F64] | None = None

    def score(self, vectors: F64) -> F64:
        """P-values of vectors."""
        if self._model is None:
            self._model = refits.result(self._future, refits.fitted, self.recipe, self.vectors, self.seed)
        model, reference = self._model
        return conformal_p(np.asarray(model.decision_function(vectors), np.float64), reference)

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        return {"vectors": self.vectors}


class SignalModel:
    """The model of one environment and signal: the one in use with what stands beside it, and the one being fitted."""

    def __init__(self, normaliser: Normaliser, recipe: Recipe, seed: int, drift: Recipe | None) -> None:
        self.normaliser, self.recipe, self.seed, self.drift = normaliser, recipe, seed, drift
        self.window: F64 = np.zeros((0, 0))
        self.models: Succession[Fit] | None = None
        self.fitting: Fit | None = None
        self.due = 0
        """Frame at which the fit that runs is taken into use."""
        self.taken = 0
        self.frames = 0
        self.began_ns = 0
        """Window of the first vector."""
        self.train_ns = 0
        """From when on a challenger may be fitted; 0: none is due."""
        self.held = False
        self.minutes = CalmMinutes()
        self.seen: Residuals | None = None
        """The newest frame's."""

    @property
    def warm(self) -> bool:
        """Whether there is a model to ask."""
        return self.models is not None

    def reset(self) -> None:
        """Forget vectors and models: features came or went."""
        self.window, self.models, self.fitting = np.zeros((0, 0)), None, None
        self.taken, self.began_ns, self.train_ns, self.held = 0, 0, 0, False
        self.minutes = CalmMinutes()

    def take(self, vectors: F64, window_ns: int) -> None:
        """Append calm vectors to the sliding window, and begin a fit where one is due."""
        # while the model is held, the window spans what a challenger is fitted to
        many = max(1, round(self.normaliser.width_s * SECOND * SIZE / TRAIN_NS)) if self.held else PER_WINDOW
        chosen = np.roll(vectors, -(self.taken % len(vectors)), axis=0)[:many]
        known = self.window if self.window.shape[1] == chosen.shape[1] else np.zeros((0, chosen.shape[1]))
        self.window = np.concatenate([known, chosen])[-SIZE:]
        self.began_ns = self.began_ns or window_ns
        self.taken += len(chosen)
        if self.fitting is None and self._due(window_ns) and len(self.window) >= LEAST:
            self.fitting, self.due = Fit(self.recipe, self.seed, self.window), self.frames + INSTALLED_AFTER

    def _due(self, window_ns: int) -> bool:
        if not self.held:
            return self.frames % EVERY == 0 or not self.warm
        if self.models is None or not self.models.drifted or self.models.rival is not None:
            self.train_ns = 0
            return False
        if not self.train_ns:
            self.train_ns, self.window = window_ns + TRAIN_NS, self.window[:0]
        return window_ns >= self.train_ns

    def tick(self, window_ns: int, lineage: Lineage) -> Replacement | None:
        """Another frame: take a fit into use where its time has come, in place of the one in use or beside it."""
        self.frames += 1
        fit = self.fitting
        if fit is None or self.frames < self.due:
            return None
        self.fitting = None
        if self.held and self.models is not None:
            told = self.models.begin(fit, lineage.next())
            self.models.enter(window_ns)
            self.minutes.begin_anew()
            return told
        self.models = Succession(fit, lineage.next(), DriftWatch(self.drift, [], []))
        old = window_ns - self.began_ns >= MATURE_NS and self.taken >= SIZE
        self.held = self.drift is not None and old
        return None

    def turn(self, window_ns: int, learn: B1) -> Replacement | None:
        """Let what a minute said that is over have its consequences."""
        if self.seen is None or self.drift is None:
            return None
        aligned = self.seen.aligned
        over = self.minutes.begin(window_ns, len(self.normaliser.alignment.slots))
        for row in aligned.rows[aligned.inputs.deployed].tolist():
            self.minutes.set_aside(row, window_ns)
        self.minutes.hold_back(aligned.rows[~learn & aligned.inputs.present], window_ns)
        if over is None or self.models is None or not self.held:
            return None
        champion, rival, n = over[0][:, over[1]].sum(axis=1).tolist()
        return self.models.minute(window_ns, champion / n, rival / n if self.models.contest is not None else None)

    def score(self, vectors: F64, strange: B1, taught: B1, window_ns: int) -> tuple[F64, F64]:
        """P-values of the rows that are `strange`, of the model in use and of the one beside it; 1 of the others. Of some that are
        `taught` it is put on record what both say."""
        p, rival = np.ones(len(vectors)), np.ones(len(vectors))
        strangest = np.abs(vectors).max(axis=1, initial=0.0)
        asked = np.flatnonzero(strange)
        asked = asked[np.argsort(-strangest[asked], kind="stable")][:BUDGET]
        watched = self._watched(taught, window_ns)
        both = np.union1d(asked, watched)
        models = self.models
        if models is None or not len(both):
            return p, rival
        said, beside = np.ones(len(vectors)), np.ones(len(vectors))
        said[both] = models.champion.score(vectors[both])
        tried = models.rival is not None and models.contest is not None
        if tried and models.rival is not None:
            beside[both] = models.rival.score(vectors[both])
        if len(watched) and self.seen is not None:
            rows = self.seen.aligned.rows[watched]
            self.minutes.sums[0, rows] += surprise(-np.log10(said[watched]))
            self.minutes.sums[1, rows] += surprise(-np.log10(beside[watched]))
            self.minutes.sums[2, rows] += 1.0
        p[asked] = said[asked]
        rival[asked] = beside[asked] if tried else 1.0
        return p, rival

    def _watched(self, taught: B1, window_ns: int) -> NDArray[np.intp]:
        if not self.held or self.seen is None:
            return np.empty(0, np.intp)
        aside = self.minutes.aside_ns[self.seen.aligned.rows] > window_ns
        rows = np.flatnonzero(taught & ~aside)
        return np.roll(rows, -(self.frames * WATCHED % max(len(rows), 1)))[:WATCHED]

    def plain(self) -> dict[str, Any]:
        """The state as plain values."""
        return {
            "normaliser": self.normaliser.plain(),
            "window": self.window,
            "models": self.models.plain(Fit.plain) if self.models is not None else None,
            "fitting": self.fitting.vectors if self.fitting is not None else None,
            "due": self.due,
            "taken": self.taken,
            "frames": self.frames,
            "began_ns": self.began_ns,
            "train_ns": self.train_ns,
            "held": self.held,
            "minutes": self.minutes.plain(),
        }

    @classmethod
    def of(cls, plain: Mapping[str, Any], recipe: Recipe, seed: int, drift: Recipe | None) -> SignalModel:
        """Inverse of `plain`; models are fitted again from the vectors they were fitted to. Without any (of before there were
        versions, or watched otherwise) it begins anew, except for what it knows of levels."""
        it = cls(Normaliser.of(plain["normaliser"]), recipe, seed, drift)
        it.window, it.taken, it.frames = plain["window"], plain["taken"], plain["frames"]
        if "models" not in plain:
            it.taken = 0
            return it
        if plain["models"] is not None:
            it.models = Succession.of(
                plain["models"],
                lambda previous, current: DriftWatch(drift, previous, current),
                lambda fit: Fit(recipe, seed, fit["vectors"]),
            )
        it.fitting = Fit(recipe, seed, plain["fitting"]) if plain["fitting"] is not None else None
        it.due, it.began_ns, it.train_ns, it.held = (plain[k] for k in ("due", "began_ns", "train_ns", "held"))
        it.minutes = CalmMinutes(**plain["minutes"])
        return it


PCA = Recipe("pyod.models.pca.PCA", {"standardization": False})
"""Principal components of joint departures (Shyu et al. 2003)."""


class PyodDetector(MemberOfModels):
    """A pyod model of joint departures, refitted from a sliding window; principal components where nothing else is asked for. `drift`: what
    watches the models for drift; without, they are refitted every minute."""

    def __init__(
        self,
        warmup: int = 30,
        seed: int = 7,
        recipe: Recipe = PCA,
        name: str = "pyod",
        drift: Recipe | None = None,
    ) -> None:
        super().__init__(recipe, seed, drift)
        self.name, self.version = name, f"{recipe.title}/{VERSION}"
        self._warmup = warmup
        self._tracks: dict[tuple[str, str], SignalModel] = {}

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; see the port."""
        key = (frame.environment, frame.signal)
        if key not in self._tracks:
            normaliser = Normaliser(Signal(frame.signal), width_seconds(frame))
            self._tracks[key] = SignalModel(normaliser, self._recipe, self._seed, self._drift)
        track = self._tracks[key]
        found = track.normaliser.update(frame, learn)
        if found.aligned.widened is not None:
            track.reset()
        if found.aligned.evicted is not None:
            track.minutes = CalmMinutes()
        track.seen, meant = found, self._recipe.meant(frame.services)
        for told in (track.tick(frame.window_ns, self._lineage), track.turn(frame.window_ns, learn)):
            if told is not None:
                self._lineage.tell(SeriesKey(*key, EVERYBODY), told, frame.window_ns)
        seen = track.normaliser.n[found.aligned.rows].max(axis=1, initial=0) >= self._warmup
        warm = np.asarray(seen & meant & track.warm, np.bool_)
        taught = np.asarray(learn & found.observed & found.aligned.fresh & meant, np.bool_)
        strange = warm & (np.abs(found.vectors).max(axis=1, initial=0.0) > CALM)
        p, rival = track.score(found.vectors, strange, taught & seen, frame.window_ns)
        self._note(track, frame, strange, (p, rival))
        if taught.any():
            track.take(found.vectors[taught], frame.window_ns)
        decades = np.where(warm[:, None], found.decades, 0.0)
        return Scores(decades, found.low, found.high, p, warm, rival=rival if (rival < 1.0).any() else None)

    @staticmethod
    def _note(track: SignalModel, frame: FeatureFrame, strange: B1, said: tuple[F64, F64]) -> None:
        """Put on record what both models say of rows that depart, by service."""
        if track.models is None or track.models.contest is None:
            return
        for i in np.flatnonzero(strange & (np.minimum(*said) <= NOTED_P)).tolist():
            champion, rival = (-float(np.log10(p[i])) for p in said)
            track.models.note(frame.window_ns, champion, rival, frame.services[i])

    def parts(self, series: SeriesKey) -> dict[str, float]:
        """What each feature counted in the newest row of a series; see the port."""
        track = self._tracks.get((series.environment, series.signal))
        row = track.normaliser.alignment.slots.find(series.service, series.peer) if track else None
        vector = newest_vector(track.seen, row) if track else None
        if track is None or track.models is None or vector is None:
            return {}
        champion = track.models.champion

        def decades(vectors: F64) -> F64:
            return -np.log10(champion.score(vectors))

        return parts_of(vector, track.normaliser.columns.names, decades, self._seed)

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` for what is normal of one series; see the port. For a while it says nothing of drift."""
        track = self._tracks.get((series.environment, series.signal))
        if track is None:
            return {}
        row = track.normaliser.alignment.slots.find(series.service, series.peer)
        if row is not None and track.seen is not None:
            track.minutes.set_aside(row, int(track.normaliser.alignment.seen_ns[row]))
        return track.normaliser.rebase(series, levels)

    def _of(self, environment: str) -> Iterator[SignalModel]:
        return (track for (of, _), track in self._tracks.items() if of == environment)

    def take_change(self, environment: str, service: str, time_ns: int) -> None:
        """A change was told; see the port. For a while the service says nothing of drift."""
        for track in self._of(environment):
            row = track.normaliser.alignment.slots.find(service, "")
            if row is not None:
                track.minutes.set_aside(row, time_ns)

    def version_of(self, series: SeriesKey) -> int:
        """Version of the model of a series' signal; see the port."""
        track = self._tracks.get((series.environment, series.signal))
        return track.models.version if track is not None and track.models is not None else 0

    def take_outcome(self, outcome: ClaimOutcome) -> None:
        """Something came of a claim, or nothing did; see the port."""
        for track in self._of(outcome.environment):
            if track.models is not None:
                track.models.claimed(outcome.window_ns, of_rival=outcome.rival, came_true=outcome.came_true)

    def take_opened(self, environment: str, service: str, window_ns: int) -> None:
        """An anomaly opened; see the port."""
        for track in self._of(environment):
            if track.models is not None:
                track.models.opened(window_ns, service)

    def forget(self, environment: str) -> None:
        """The environment is gone."""
        self._tracks = {key: track for key, track in self._tracks.items() if key[0] != environment}

    def snapshot(self) -> bytes:
        """The whole state."""
        tracks = [{"environment": environment, **t.plain()} for (environment, _), t in self._tracks.items()]
        body = {
            "recipe": self._recipe.title,
            "drift": self._watched_by,
            "versions": self._lineage.versions,
            "tracks": tracks,
        }
        return snapshots.save(self.name, VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state; models are fitted again from the vectors they were fitted to."""
        body = snapshots.load(self.name, VERSION, state)
        self._lineage = Lineage(body.get("versions", 0))
        self._tracks = {}
        same = body.get("drift", "") == self._watched_by
        for plain in body["tracks"]:
            if not same:
                plain.pop("models", None)
            track = SignalModel.of(plain, self._recipe, self._seed, self._drift)
            self._tracks[plain["environment"], track.normaliser.alignment.signal.value] = track
