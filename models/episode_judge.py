"""Judging rows of frames in one partition: evidence is put on record, episodes are stepped, and what begins, changes or ends is told."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from contracts.events import Anomaly, Contribution, HarmAhead
from contracts.features import COUNT_OF, CPU, CPU_CORES, NETWORK_GAP, NETWORK_IO, TRAFFIC, Signal
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import FeatureFrame
from contracts.ports.detecting import Scores
from contracts.settings import DetectSettings
from contracts.verdicts import ServiceState
from models import wording
from models.contributions import contributions, ordered
from models.engine_state import LAYERS, EngineState, Reasons
from models.episodes import Episode, WindowEvidence
from models.forecast import Forecast
from models.fusion import Fusion
from models.judgement import (
    AGREES_FROM,
    BROKEN_DECADES,
    EDGE_SPEAKS,
    HARD_DECADES,
    HARM_DECADES,
    LEAST_P,
    LOAD_WEIGHT,
    LOUD,
    ONSET_NS,
    SATURATED_DECADES,
    SPEAKS,
    TREND_DECADES,
)
from models.ledger import EpisodeSteps, Ledger, RowEvidence, Rows
from models.level_adoption import LevelAdoption
from models.low_traffic.latency import pool_contribution
from models.saturation import saturated_rows, saturation
from models.service.pooled import Pool

FOLLOWS_LOAD: Final = frozenset({CPU, CPU_CORES, NETWORK_IO})
"""What is expected in proportion to the load."""


class EpisodeJudge:
    """Judges services and edges. `model`: names and versions of the models, for events."""

    def __init__(self, settings: DetectSettings, fusion: Fusion, levels: LevelAdoption, model: tuple[str, str]) -> None:
        self._settings, self._fusion, self._levels, self._model = settings, fusion, levels, model

    def judge_services(
        self,
        world: EngineState,
        frame: FeatureFrame,
        opinion: tuple[Scores, Pool | None],
        ps: tuple[F64, F64, F64],
        now_ns: int,
    ) -> list[Anomaly]:
        """Put each service's evidence on record and step the episodes of those about which the frame has news."""
        lead, _ = opinion
        ledger, layer = world.services, LAYERS.index(frame.signal)
        rows = ledger.rows(frame.services, ())
        ledger.hear(rows, now_ns)
        if frame.revision > 0:
            return []
        settled = ledger.follow(layer, rows, frame, settles=frame.signal != Signal.METRICS)
        broken = world.promises.take(self._settings, rows, frame, ledger.slots.keys)
        said, saturated = self._said(world, rows, frame, (lead, broken), ps)
        steps = ledger.step(layer, rows, frame, said, settled | saturated, self._settings)
        ledger.see(layer, rows, frame, said)
        _weigh(ledger, rows, frame, lead)
        loud = (said.every >= LOUD) & ~frame.missing
        for i in np.flatnonzero(loud | ledger.open[rows]).tolist():
            self._reason(world, frame, opinion, (i, int(rows[i])), (bool(saturated[i]), broken.get(i, [])))
        late = max(0, now_ns - frame.window_ns - frame.width_ns)

        def look(i: int) -> WindowEvidence:
            parts, ahead = (
                ordered(world.merged(int(rows[i]), frame.window_ns)),
                world.foreseen(int(rows[i]), frame.signal),
            )
            text, told = wording.foreseen(ahead, parts), tuple(_ahead(frame.signal, f) for f in ahead)
            return WindowEvidence(frame.signal, frame.window_ns, float(steps.decades[i]), parts, late, text, told)

        told = self._tell(world, (ledger, rows), frame, steps, look, self._agreed(world, rows, frame, steps))
        told += self._levels.shift(world, rows, frame, loud)
        if self._fusion.claims:
            self._fusion.settle(frame.environment, frame.window_ns)
        return told

    def judge_glimpse(self, world: EngineState, frame: FeatureFrame, lead: Scores, opening: F64) -> list[Anomaly]:
        """Open episodes of services by what has come so far of a window. Nothing else follows from it."""
        ledger, layer = world.services, LAYERS.index(frame.signal)
        rows = ledger.rows(frame.services, ())
        opens, flagged, decades = ledger.glimpse(layer, rows, frame, opening, self._settings)
        if not len(opens) and not len(flagged):
            return []
        nobody = np.zeros(0, np.intp)
        steps = EpisodeSteps(opens, nobody, nobody, nobody, flagged, decades)

        def look(i: int) -> WindowEvidence:
            parts = ordered(contributions(frame, lead, i, frame.width_ns))
            return WindowEvidence(frame.signal, frame.window_ns, float(decades[i]), parts, early=True)

        return self._opened(world, (ledger, rows), (*opens.tolist(), *self._agreed(world, rows, frame, steps)), look)

    def judge_edges(self, world: EngineState, frame: FeatureFrame, lead: Scores, p: F64, now_ns: int) -> list[Anomaly]:
        """Step the episodes of edges on which time is lost *between* the services: what neither of them shows. Slow or
        failing callees are anomalies of the callee, so other edges stay evidence only."""
        ledger = world.edges
        rows = ledger.rows(frame.services, frame.peers)
        ledger.hear(rows, now_ns)
        if NETWORK_GAP not in frame.features or frame.revision > 0:
            return []
        settled = ledger.follow(0, rows, frame, settles=True)
        gap = lead.decades[:, frame.features.index(NETWORK_GAP)]
        lost = (gap >= EDGE_SPEAKS) & lead.warm
        every = -np.log10(np.maximum(p, LEAST_P))
        decades = np.where(lost | ledger.open[rows], every, 0.0)
        none = np.zeros(len(rows), np.bool_)
        said = RowEvidence(decades, decades, every, lead.warm, none, none, frame.counts > 0)
        steps = ledger.step(0, rows, frame, said, settled, self._settings)
        ledger.see(0, rows, frame, said)
        late = max(0, now_ns - frame.window_ns - frame.width_ns)

        def look(i: int) -> WindowEvidence:
            parts = ordered(contributions(frame, lead, i, frame.width_ns))
            return WindowEvidence(frame.signal, frame.window_ns, float(decades[i]), parts, late)

        return self._tell(world, (ledger, rows), frame, steps, look)

    @staticmethod
    def _said(
        world: EngineState,
        rows: Rows,
        frame: FeatureFrame,
        known: tuple[Scores, Mapping[int, list[Contribution]]],
        ps: tuple[F64, F64, F64],
    ) -> tuple[RowEvidence, B1]:
        """What a frame says of its rows, and which have a resource that is used up. No doubt is left where one is, where an objective
        is broken, and where harm is foreseen."""
        lead, broken = known
        saturated = saturated_rows(world.services, rows, frame, lead)
        foreseen = world.foresee(rows, frame)
        every, opening, lasting = (-np.log10(np.maximum(p, LEAST_P)) for p in ps)
        certain = saturated
        if foreseen or broken or saturated.any():
            least = np.where(saturated, SATURATED_DECADES, 0.0)
            least[list(broken)] = BROKEN_DECADES
            least[foreseen] = TREND_DECADES
            every, opening, lasting = (np.maximum(x, least) for x in (every, opening, lasting))
            certain = least > 0
        if world.refused:  # what a person called abnormal is, whoever feels it
            refused = np.array([name in world.refused for name in frame.services], np.bool_)
            opening, lasting = (np.where(refused, every, x) for x in (opening, lasting))
        hard = certain if frame.signal != Signal.SPANS else np.ones(len(rows), np.bool_)
        return RowEvidence(opening, lasting, every, lead.warm, hard, certain, _informative(frame, every)), saturated

    def _tell(
        self,
        world: EngineState,
        where: tuple[Ledger, Rows],
        frame: FeatureFrame,
        steps: EpisodeSteps,
        look: Callable[[int], WindowEvidence],
        agreed: Sequence[int] = (),
    ) -> list[Anomaly]:
        """The events of a frame's steps."""
        ledger, rows = where
        told = self._opened(world, where, (*steps.opens.tolist(), *agreed), look)
        for i in steps.goes_on.tolist():
            told += ledger.episodes[int(rows[i])].update(look(i), self._model)
        for i in steps.ends.tolist():
            told.append(self._end(ledger, int(rows[i]), look(i), ServiceState.HEALTHY))
        for i in steps.dries_up.tolist():
            text = "no more requests come: whether it is well can't be told"
            told.append(self._end(ledger, int(rows[i]), look(i), ServiceState.STALE, text))
        if ledger.episodes:
            for i in np.flatnonzero(ledger.open[rows] & ~frame.missing).tolist():
                told += self._levels.follow(world, (ledger, int(rows[i])), frame, i)
        return told

    def _reason(
        self,
        world: EngineState,
        frame: FeatureFrame,
        opinion: tuple[Scores, Pool | None],
        where: tuple[int, int],
        certain: tuple[bool, list[Contribution]],
    ) -> None:
        """Put on record why a service is loud in a window."""
        (lead, pool), (i, row), (saturated, broken) = opinion, where, certain
        ledger, layer = world.services, LAYERS.index(frame.signal)
        if frame.window_ns < ledger.view_ns[layer, row]:
            return
        own = contributions(frame, lead, i, max(int(ledger.cadence_ns[layer, row]), frame.width_ns))
        own += pool_contribution(frame, pool, i, own) if pool is not None else []
        if saturated:
            used_up = saturation(frame, lead, i)
            own = [c for c in own if c.feature not in {u.feature for u in used_up}] + used_up
        load = max(float(ledger.load[row]), 1.0)
        own = [c for c in own if not (c.feature in FOLLOWS_LOAD and c.value is not None and c.value <= load * c.high)]
        own += [b for b in broken if b.feature not in {c.feature for c in own}]
        foreseen = [_reason_of(frame, f) for f in world.foreseen(row, frame.signal)]
        own = [c for c in own if c.feature not in {f.feature for f in foreseen}] + foreseen
        world.reasons.setdefault(row, {})[frame.signal] = Reasons(frame.window_ns, own)

    def _agreed(self, world: EngineState, rows: Rows, frame: FeatureFrame, steps: EpisodeSteps) -> list[int]:
        """Rows that are suspicious for the first time, while one that calls them or that they call shows so much in the same window that
        both together are as sure as two windows: two that agree are as good as a second one. Of those about whom one window leaves
        hardly a doubt, so is anybody else of whom the same is true. Not where there is merely less than usual: a message that was lost
        looks like that. Where more is asked for, both have to show that much more, unless one window leaves hardly a doubt."""
        if not len(steps.flagged) or not len(world.edges):
            return []
        found, needed = [], -2.0 * math.log10(self._settings.open_p)
        stricter = needed + 2.0 * world.strictness
        everybody = world.services.felt_in(np.arange(len(world.services)), frame.window_ns)
        for i in steps.flagged.tolist():
            row, own = int(rows[i]), float(steps.decades[i])
            around = everybody[world.neighbours(frame.services[i])]
            near, others = (float(x.max(initial=0.0)) for x in (around, np.delete(everybody, row)))
            by_chance = math.log10(max(len(around), 1))  # of many neighbours one shows something
            enough = needed if own >= HARD_DECADES else stricter
            agrees = near - by_chance >= AGREES_FROM and near + own >= enough
            if (agrees or min(own, others) >= HARD_DECADES) and not _only_fewer(world, row, frame):
                found.append(i)
        return found

    def _opened(
        self,
        world: EngineState,
        where: tuple[Ledger, Rows],
        which: Sequence[int],
        look: Callable[[int], WindowEvidence],
    ) -> list[Anomaly]:
        """The episodes that begin with these rows of a frame."""
        (ledger, rows), told = where, []
        for i in which:
            found = look(i)
            if not _known_of_old(world, ledger.slots.keys[int(rows[i])], found):
                told += self._open(world, (ledger, int(rows[i])), found)
        return told

    def _open(self, world: EngineState, where: tuple[Ledger, int], look: WindowEvidence) -> list[Anomaly]:
        ledger, row = where
        if row in ledger.episodes:
            return []
        environment, (service, peer) = world.environment, ledger.slots.keys[row]
        episode = Episode(environment, service, peer)
        since = int(ledger.uneasy_ns[ledger.signals.index(look.signal), row]) or look.window_ns
        told = episode.begin(max(since, look.window_ns - ONSET_NS), look, self._model)
        ledger.begin(row, episode)
        if ledger is world.services:
            world.shifts.pop(row, None)
            self._fusion.opened(environment, service, look.window_ns)
        return [told]

    def _end(self, ledger: Ledger, row: int, look: WindowEvidence, state: ServiceState, text: str = "") -> Anomaly:
        told = ledger.episodes[row].end(look, state, self._model, text)
        ledger.end(row, state, look.window_ns)
        return told


def _only_fewer(world: EngineState, row: int, frame: FeatureFrame) -> bool:
    """Whether all that a window shows of a service is less of something."""
    parts = [p for p in world.merged(row, frame.window_ns) if abs(p.decades) >= HARM_DECADES]
    return bool(parts) and all(p.value is not None and p.value < p.low for p in parts)


def _known_of_old(world: EngineState, key: tuple[str, str], look: WindowEvidence) -> bool:
    """Whether all that departs is back in a range that was normal before the last adoption, or on its way there (fewer requests)."""
    formers = world.formers.get(key)
    parts = [p for p in look.contributions if abs(p.decades) >= HARM_DECADES]
    if not formers or not parts:
        return False
    known = [(p.feature, p.value, formers.get(p.feature)) for p in parts]
    return all(
        value is not None
        and f is not None
        and look.window_ns < f.until_ns
        and f.low <= value
        and (value <= f.high or (feature in TRAFFIC and value >= f.level))
        for feature, value, f in known
    )


def _weigh(ledger: Ledger, rows: Rows, frame: FeatureFrame, lead: Scores) -> None:
    """Take note of how much more than usual is asked of services."""
    name = COUNT_OF[Signal(frame.signal)]
    if name not in TRAFFIC or name not in frame.features:
        return
    j = frame.features.index(name)
    usual = (lead.low[:, j] + lead.high[:, j]) / 2.0
    known = np.isfinite(usual) & (usual > 0) & np.isfinite(frame.values[:, j])
    at = rows[known]
    ratio = frame.values[known, j] / usual[known]
    ledger.load[at] += LOAD_WEIGHT * (np.minimum(ratio, 100.0) - ledger.load[at])


def _reason_of(frame: FeatureFrame, forecast: Forecast) -> Contribution:
    return Contribution(
        signal=frame.signal,
        feature=forecast.feature,
        value=forecast.value,
        low=forecast.low,
        high=forecast.high,
        decades=TREND_DECADES,
        share=0.0,
    )


def _ahead(signal: str, f: Forecast) -> HarmAhead:
    return HarmAhead(
        signal=signal,
        feature=f.feature,
        value=f.value,
        hurts=f.hurts,
        seconds=f.seconds,
        soonest_s=f.soonest_s,
        latest_s=f.latest_s,
    )


def _informative(frame: FeatureFrame, decades: F64) -> B1:
    """Which rows say something new: requests came, a metric was read, or what should have come did not."""
    if frame.signal == Signal.METRICS:
        return np.asarray(np.isfinite(frame.values).any(axis=1), np.bool_)
    found: B1 = (frame.counts > 0) | (decades >= SPEAKS)
    return found
