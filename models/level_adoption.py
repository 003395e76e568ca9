"""Adoption of levels of one partition: what departs and harms nobody becomes normal once it has settled, or when a person says so.

An event tells of each adoption, and what was normal before is remembered: it can be undone, and who goes back there is known of old.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from contracts.events import Anomaly
from contracts.events.telemetry import anomaly_id
from contracts.features import CPU, FEATURES, LATENCY_P99, METRIC_LATENCY_P99, FeatureKind
from contracts.frames.decoded import B1
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Detector, SeriesKey
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import ServiceState
from models import wording
from models.adoption import Adopting, Former, against, remembered
from models.engine_state import EngineState, LevelShift
from models.episodes import Episode
from models.forecast import rising
from models.harm import harms
from models.judgement import HARM_DECADES, SHIFT_FORGOTTEN_NS, TREND_LASTS
from models.ledger import Ledger, Rows
from models.low_traffic.latency import POOLED
from models.service.pooled import Pooled
from models.service.slowness import SLOW_SHARE


class LevelAdoption:
    """Adoption by all models at once: `detectors`, of which the one at `lead` says what was normal before, and `pools` by environment and
    signal. `model`: names and versions of the models, for events."""

    def __init__(
        self,
        settings: DetectSettings,
        detectors: Sequence[Detector],
        lead: int,
        pools: Mapping[tuple[str, str], Pooled],
        model: tuple[str, str],
    ) -> None:
        self._settings, self._detectors, self._lead, self._pools, self._model = settings, detectors, lead, pools, model

    def accept(self, world: EngineState, name: str, by: str) -> list[Anomaly]:
        """Take the levels of a service that depart now for normal, because a person says so."""
        told = []
        for ledger in (world.services, world.edges):
            for row, episode in list(ledger.episodes.items()):
                if episode.service == name and episode.adopting.levels():
                    told.append(self._adopt(world, (ledger, row), episode.last_ns, by))
        at = world.services.slots.find(name, "")
        shift = world.shifts.get(at) if at is not None else None
        if at is not None and shift is not None and shift.adopting.levels():
            told.append(self._adopt_shift(world, at, shift.loud_ns, by))
        return told

    def refuse(self, world: EngineState, name: str) -> None:
        """Undo all adoptions of a service."""
        for key in [key for key in world.formers if key[0] == name]:
            self._rebase(world.environment, key, _levels_of(world.formers.pop(key)))

    def follow(self, world: EngineState, where: tuple[Ledger, int], frame: FeatureFrame, i: int) -> list[Anomaly]:
        """Follow what departs in an open episode, and end it by adoption where that harms nobody and has settled."""
        ledger, row = where
        episode = ledger.episodes[row]
        adopting, name = episode.adopting, episode.service
        _take(adopting, frame, i)
        if ledger is world.services:
            _foresee(world, row, adopting, frame)
        objective = self._settings.objective_of(frame.environment, name)
        parts = world.merged(row, frame.window_ns) if ledger is world.services else []
        sure = [part for part in parts if abs(part.decades) >= HARM_DECADES]
        formers = world.formers.get((name, episode.peer), {})
        if any(harms(against(p, formers), self._settings, objective) for p in (*sure, *adopting.parts())):
            adopting.harmed_ns = max(adopting.harmed_ns, frame.window_ns)
        due = adopting.ready(frame.window_ns, int(self._settings.adopt_after_s * SECOND))
        due |= adopting.returned(frame.window_ns, formers)
        climbs = ledger is world.services and world.climbs(row, frame.window_ns)
        if not due or climbs or name in world.refused:
            return []
        return [self._adopt(world, where, frame.window_ns, wording.OURSELVES)]

    def shift(self, world: EngineState, rows: Rows, frame: FeatureFrame, loud: B1) -> list[Anomaly]:
        """Follow departures that open nothing, because nobody feels them, and take them for normal once they have settled: until
        then nothing of their service is learnt."""
        ledger = world.services
        for i in np.flatnonzero(loud & ~ledger.open[rows]).tolist():
            row = int(rows[i])
            if row in ledger.episodes:
                continue
            parts = tuple(
                p
                for p in world.merged(row, frame.window_ns)
                if abs(p.decades) >= HARM_DECADES and FEATURES[p.feature].kind is not FeatureKind.RATIO
            )
            if parts:
                shift = world.shifts.setdefault(
                    row, LevelShift(Adopting(frame.window_ns, frame.window_ns), frame.window_ns)
                )
                shift.loud_ns = max(shift.loud_ns, frame.window_ns)
                shift.adopting.note(parts)
        if not world.shifts:
            return []
        told = []
        at = {row: i for i, row in enumerate(rows.tolist())}
        for row in sorted(at.keys() & world.shifts.keys()):
            told += self._settle(world, row, frame, at[row])
        return told

    def _adopt(self, world: EngineState, where: tuple[Ledger, int], window_ns: int, by: str) -> Anomaly:
        """Take the levels of an episode for normal, and remember those from before."""
        ledger, row = where
        episode = ledger.episodes[row]
        key, adopting = (episode.service, episode.peer), episode.adopting
        before = self._rebase(episode.environment, key, _of_now(adopting))
        world.formers[key] = remembered(world.formers.get(key, {}), adopting.formers(before, window_ns))
        ledger.end(row, ServiceState.HEALTHY, window_ns)
        return episode.adopt(window_ns, self._model, by, wording.adopted(adopting.parts(), by))

    def _settle(self, world: EngineState, row: int, frame: FeatureFrame, i: int) -> list[Anomaly]:
        """Adopt what shifted of one service where it is due; forget it where it is over."""
        ledger, shift = world.services, world.shifts[row]
        adopting, name = shift.adopting, ledger.slots.keys[row][0]
        pause = max(SHIFT_FORGOTTEN_NS, 3 * int(ledger.cadence_ns[:, row].max()))
        if frame.window_ns - shift.loud_ns > pause or row in ledger.episodes:
            del world.shifts[row]
            return []
        _take(adopting, frame, i)
        _foresee(world, row, adopting, frame)
        objective = self._settings.objective_of(frame.environment, name)
        formers = world.formers.get((name, ""), {})
        if any(harms(against(p, formers), self._settings, objective, at_work=False) for p in adopting.parts()):
            adopting.harmed_ns = max(adopting.harmed_ns, frame.window_ns)
        due = adopting.ready(frame.window_ns, int(self._settings.adopt_after_s * SECOND), growing=False)
        due |= adopting.returned(frame.window_ns, formers)
        if not due or name in world.refused or world.climbs(row, frame.window_ns):
            return []
        return [self._adopt_shift(world, row, frame.window_ns, wording.OURSELVES)]

    def _adopt_shift(self, world: EngineState, row: int, window_ns: int, by: str) -> Anomaly:
        """Take the levels of a departure that opened nothing for normal, as an event."""
        adopting, key = world.shifts.pop(row).adopting, world.services.slots.keys[row]
        before = self._rebase(world.environment, key, _of_now(adopting))
        world.formers[key] = remembered(world.formers.get(key, {}), adopting.formers(before, window_ns))
        world.forecasts.pop(row, None)
        opener = next(iter(adopting.courses.values())).signal
        id_ = anomaly_id("an", world.environment, key[0], "shift", adopting.opened_ns)
        episode = Episode(world.environment, key[0], "", id_, adopting.opened_ns, opener=opener, adopting=adopting)
        return episode.adopt(window_ns, self._model, by, wording.adopted(adopting.parts(), by))

    def _rebase(
        self, environment: str, key: tuple[str, str], levels: Mapping[tuple[str, str], float]
    ) -> dict[str, float]:
        """Let all models take these levels (by signal and feature) for normal; what the leading one took for it until now."""
        before: dict[str, float] = {}
        for signal in sorted({signal for signal, _ in levels}):
            some = {feature: level for (s, feature), level in levels.items() if s == signal}
            for i, detector in enumerate(self._detectors):
                known = detector.rebase(SeriesKey(environment, signal, *key), some)
                before |= known if i == self._lead else {}
            pool, pooled = self._pools.get((environment, signal)), POOLED.get(signal)
            if pool is not None and pooled in some:
                pool.rebase(*key, some[pooled])
        return before


def _foresee(world: EngineState, row: int, adopting: Adopting, frame: FeatureFrame) -> None:
    """Whether a resource that departs climbs towards its limit."""
    for feature, course in adopting.courses.items():
        if course.signal == frame.signal and feature != CPU and FEATURES[feature].kind is FeatureKind.UTILIZATION:
            forecast = rising(course.starts, course.means(), feature, (course.low, course.high))
            if forecast is not None:
                world.note_forecast(row, frame, forecast, TREND_LASTS * max(course.width_ns, frame.width_ns))


def _take(adopting: Adopting, frame: FeatureFrame, i: int) -> None:
    """Follow the courses of what departs."""
    for feature, course in adopting.courses.items():
        j = frame.features.index(feature) if course.signal == frame.signal and feature in frame.features else -1
        if j >= 0 and np.isfinite(frame.values[i, j]):
            course.take(frame.window_ns, float(frame.values[i, j]))


def _of_now(adopting: Adopting) -> dict[tuple[str, str], float]:
    """The levels to adopt; with the slowest requests' as many of them as there are now, which whoever counts them knows."""
    levels = adopting.levels()
    slowest = {signal for signal, feature in levels if feature in (LATENCY_P99, METRIC_LATENCY_P99)}
    return levels | {(signal, SLOW_SHARE): math.nan for signal in slowest}


def _levels_of(former: Mapping[str, Former]) -> dict[tuple[str, str], float]:
    return {(f.signal, feature): f.level for feature, f in former.items()}
