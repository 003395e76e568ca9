"""Any river model, one per service, over robust residuals and calibrated by its own calm scores.

river's anomaly detectors score as they are; its regressors and forecasters are asked for what is to be expected, and how far they
are off is the score. A model costs tens of microseconds, so the work per window is bounded: rows whose residuals are all small
are unremarkable without asking, and learning goes round the services in turn.

A young model begins anew from its newest vectors now and then. Where drift is watched for, it is held once it is `MATURE_NS` old: it judges as
it is, and another takes its place where that proves better (`models.adapters.succession`). Per service that costs a model more while one is
tried: at most `RIVALS` at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contracts.features import Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import ClaimOutcome, Scores, SeriesKey
from models import snapshots
from models.adapters.attributing import newest_vector, parts_of
from models.adapters.drift import CalmMinutes, DriftWatch, surprise
from models.adapters.normalising import Normaliser, Residuals, width_seconds
from models.adapters.recipes import Recipe
from models.adapters.river_models import MATURE_NS, MEMORY, NEVER, ServiceModel
from models.adapters.succession import Lineage, MemberOfModels, Succession

VERSION = 3
CALM = 2.0
"""Residuals below this need no second look."""
BUDGET = 48
"""Rows asked of, and rows taught to, the models in one window."""
NEW = 4
"""Services whose models are made in one window: making them costs far more than asking."""
RIVALS = 16
"""Challengers and predecessors of one signal at once."""


@dataclass(slots=True)
class _Track:
    """One environment and signal."""

    normaliser: Normaliser
    models: dict[int, Succession[ServiceModel]] = field(default_factory=dict)
    turn: int = 0
    minutes: CalmMinutes = field(default_factory=CalmMinutes)
    seen: Residuals | None = None
    """The newest frame's."""


HALF_SPACE_TREES = Recipe("river.anomaly.HalfSpaceTrees", {"n_trees": 6, "height": 4, "window_size": MEMORY})
"""Tan, Ting & Liu 2011."""


class RiverDetector(MemberOfModels):
    """A river model per service over robust residuals; half-space trees where nothing else is asked for. `drift`: what watches the
    models for drift; without, all of them learn all the time."""

    def __init__(
        self,
        warmup: int = 30,
        seed: int = 7,
        recipe: Recipe = HALF_SPACE_TREES,
        name: str = "river",
        drift: Recipe | None = None,
    ) -> None:
        super().__init__(recipe, seed, drift)
        self.name, self.version = name, f"{recipe.title}/{VERSION}"
        self._warmup = warmup
        self._tracks: dict[tuple[str, str], _Track] = {}

    def update(self, frame: FeatureFrame, learn: B1) -> Scores:
        """Score and learn; see the port."""
        key = (frame.environment, frame.signal)
        track = self._tracks.get(key)
        if track is None:
            track = self._tracks[key] = _Track(Normaliser(Signal(frame.signal), width_seconds(frame)))
        found = track.normaliser.update(frame, learn)
        if found.aligned.widened is not None or found.aligned.evicted is not None:
            track.models.clear()
            track.minutes = CalmMinutes()
        track.seen, meant = found, self._recipe.meant(frame.services)
        aside = self._turn(track, frame, learn) if self._drift is not None else np.zeros(0, np.bool_)
        scores = self._score(found, track.models, meant, frame.window_ns)
        self._learn(frame, track, np.asarray(learn & found.aligned.fresh & meant, np.bool_), aside)
        return scores

    def _turn(self, track: _Track, frame: FeatureFrame, learn: B1) -> B1:
        """Let what a minute said that is over have its consequences; which rows are left out of the one that is on."""
        assert track.seen is not None
        aligned = track.seen.aligned
        over = track.minutes.begin(frame.window_ns, len(track.normaliser.alignment.slots))
        for i in np.flatnonzero(aligned.inputs.deployed).tolist():
            self._rebased(track, int(aligned.rows[i]), frame.window_ns)
        held_back = ~learn & aligned.inputs.present
        aside = track.minutes.hold_back(aligned.rows[held_back], frame.window_ns)
        if over is not None:
            self._conclude(track, frame, over)
        return aside

    def _conclude(self, track: _Track, frame: FeatureFrame, over: tuple[F64, NDArray[np.intp]]) -> None:
        sums, calm = over
        for row in calm.tolist():
            known = track.models.get(row)
            if known is None or not known.champion.settled:
                continue
            rival = float(sums[1, row] / sums[2, row]) if known.contest is not None else None
            told = known.minute(frame.window_ns, float(sums[0, row] / sums[2, row]), rival)
            if told is not None:
                self._lineage.tell(_series(track, frame, row), told, frame.window_ns)
        rivals = sum(known.rival is not None for known in track.models.values())
        for row in sorted(row for row, known in track.models.items() if known.drifted and known.rival is None):
            if rivals >= RIVALS:
                break
            known, rivals = track.models[row], rivals + 1
            told = known.begin(self._made(known.champion.features, row, matures_ns=0), self._lineage.next())
            self._lineage.tell(_series(track, frame, row), told, frame.window_ns)

    def _made(self, features: int, row: int, matures_ns: int) -> ServiceModel:
        return ServiceModel(self._recipe, features, self._seed + row, matures_ns)

    def _watch(self, previous: list[float], current: list[float]) -> DriftWatch:
        return DriftWatch(self._drift, previous, current)

    @staticmethod
    def _score(found: Residuals, models: dict[int, Succession[ServiceModel]], meant: B1, window_ns: int) -> Scores:
        """P-value per row; the most departing rows first, as far as the budget goes."""
        rows = found.aligned.rows
        p, rival = np.ones(len(rows)), np.ones(len(rows))
        warm = np.array([(m := models.get(row)) is not None and m.champion.warm for row in rows.tolist()], np.bool_)
        warm &= meant
        strangest = np.abs(found.vectors).max(axis=1, initial=0.0)
        asked = np.flatnonzero(warm & (strangest > CALM))
        asked = asked[np.argsort(-strangest[asked], kind="stable")][:BUDGET]
        for i in asked:
            known = models[int(rows[i])]
            p[i] = known.champion.scores.p(known.champion.score(found.vectors[i]))
            if known.rival is not None and known.contest is not None:
                rival[i] = known.rival.scores.p(known.rival.score(found.vectors[i]))
                known.note(window_ns, -math.log10(p[i]), -math.log10(rival[i]))
        decades = np.where(warm[:, None], found.decades, 0.0)
        return Scores(decades, found.low, found.high, p, warm, rival=rival if (rival < 1.0).any() else None)

    def _learn(self, frame: FeatureFrame, track: _Track, learn: B1, aside: B1) -> None:
        """Teach the next `BUDGET` of the rows that may be learnt from, round and round."""
        found = track.seen
        assert found is not None
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
                matures_ns = frame.window_ns + MATURE_NS if self._drift is not None else NEVER
                made = self._made(width, row, matures_ns)
                track.models[row] = Succession(made, self._lineage.next(), self._watch([], []))
            self._teach(track, row, found.vectors[i], frame.window_ns, counts=len(aside) > row and not aside[row])

    @staticmethod
    def _teach(track: _Track, row: int, vector: F64, now_ns: int, *, counts: bool) -> None:
        """Let the models of a row that still learn do so; of what is settled, put on record what it says (where that `counts`)."""
        known = track.models[row]
        if not known.champion.settled:
            known.champion.learn(vector, now_ns)
            return
        rival, said = known.rival, float("nan")
        if rival is not None and not rival.settled:
            if rival.learn(vector, now_ns):
                known.enter(now_ns)
                track.minutes.spoilt[row] = True
        elif rival is not None:
            said = rival.decades(vector)
        if counts:
            track.minutes.sums[:, row] += *surprise(np.array([known.champion.decades(vector), said])), 1.0

    def parts(self, series: SeriesKey) -> dict[str, float]:
        """What each feature counted in the newest row of a series; see the port."""
        track, row, known = self._find(series)
        vector = newest_vector(track.seen, row) if track else None
        if track is None or known is None or vector is None:
            return {}

        def decades(vectors: F64) -> F64:
            return np.array([known.champion.decades(vector) for vector in vectors])

        return parts_of(vector, track.normaliser.columns.names, decades, self._seed)

    def _find(self, series: SeriesKey) -> tuple[_Track | None, int | None, Succession[ServiceModel] | None]:
        track = self._tracks.get((series.environment, series.signal))
        row = track.normaliser.alignment.slots.find(series.service, series.peer) if track else None
        return track, row, track.models.get(row) if track and row is not None else None

    def rebase(self, series: SeriesKey, levels: Mapping[str, float]) -> dict[str, float]:
        """Take `levels` for what is normal of one series; see the port. Its model begins anew."""
        track, row, _ = self._find(series)
        if track is None:
            return {}
        if row is not None:
            track.models.pop(row, None)
        return track.normaliser.rebase(series, levels)

    def _rebased(self, track: _Track, row: int, time_ns: int) -> None:
        """Something changed in a series, as was told: its model learns again for a while, and nothing of it is drift."""
        track.minutes.set_aside(row, time_ns)
        known = track.models.get(row)
        if known is not None and known.champion.held_at >= 0:
            again = self._made(known.champion.features, row, time_ns + MATURE_NS)
            again.previous, again.scores = known.champion.current, known.champion.scores
            track.models[row] = Succession(again, self._lineage.next(), self._watch([], []))

    def take_change(self, environment: str, service: str, time_ns: int) -> None:
        """A change was told; see the port."""
        if self._drift is None:
            return
        for (of, _), track in self._tracks.items():
            row = track.normaliser.alignment.slots.find(service, "") if of == environment else None
            if row is not None:
                self._rebased(track, row, time_ns)

    def version_of(self, series: SeriesKey) -> int:
        """Version of a series' model; see the port."""
        _, _, known = self._find(series)
        return known.version if known is not None else 0

    def _tried(self, environment: str, service: str) -> Iterator[Succession[ServiceModel]]:
        for (of, _), track in self._tracks.items():
            row = track.normaliser.alignment.slots.find(service, "") if of == environment else None
            known = track.models.get(row) if row is not None else None
            if known is not None and known.contest is not None:
                yield known

    def take_outcome(self, outcome: ClaimOutcome) -> None:
        """Something came of a claim, or nothing did; see the port."""
        for known in self._tried(outcome.environment, outcome.service):
            known.claimed(outcome.window_ns, of_rival=outcome.rival, came_true=outcome.came_true)

    def take_opened(self, environment: str, service: str, window_ns: int) -> None:
        """An anomaly opened; see the port."""
        for known in self._tried(environment, service):
            known.opened(window_ns)

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
                "minutes": track.minutes.plain(),
                "models": [[row, known.plain(ServiceModel.plain)] for row, known in track.models.items()],
            }
            for (environment, _), track in self._tracks.items()
        ]
        body = {
            "recipe": self._recipe.title,
            "drift": self._watched_by,
            "versions": self._lineage.versions,
            "tracks": tracks,
        }
        return snapshots.save(self.name, VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state; of another model, or one that was watched otherwise, only what it knows of levels."""
        self._tracks = {}
        body = snapshots.load(self.name, VERSION, state)
        same = (body.get("recipe"), body.get("drift", "")) == (self._recipe.title, self._watched_by)
        self._lineage = Lineage(body.get("versions", 0))
        for plain in body["tracks"]:
            track = _Track(Normaliser.of(plain["normaliser"]), turn=plain["turn"])
            track.minutes = CalmMinutes(**plain.get("minutes", {}))
            if same:
                track.models = {int(row): self._restored(model) for row, model in plain["models"]}
            self._tracks[plain["environment"], track.normaliser.alignment.signal.value] = track

    def _restored(self, plain: dict[str, Any]) -> Succession[ServiceModel]:
        """A model with what stands beside it; one of before there were versions gets the next."""
        if "champion" not in plain:
            return Succession(ServiceModel.of(plain, self._recipe), self._lineage.next(), self._watch([], []))
        known: Succession[ServiceModel] = Succession.of(
            plain, self._watch, lambda model: ServiceModel.of(model, self._recipe)
        )
        return known


def _series(track: _Track, frame: FeatureFrame, row: int) -> SeriesKey:
    return SeriesKey(frame.environment, frame.signal, *track.normaliser.alignment.slots.keys[row])
