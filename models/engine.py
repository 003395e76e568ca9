"""Detection of one partition: feature frames in, evidence frames and anomaly events out.

Frame by frame: ask every detector, fuse their p-values, combine a service's signals, bound false discoveries over all
services, and step each service's episode. What users feel opens anomalies; what a service does to itself is evidence beside it. Who is
silent is said by the frames (`contracts.frames.Presence`): a quiet row is a window without requests, a missing row makes a service
stale and says nothing more. Event time decides; the clock only tells what is stale. Deterministic: the same frames and times give the
same events. State is held in arrays (`models.ledger`); objects are made for services that have something to say.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from contracts.errors import UnknownName
from contracts.events import Adoption, Anomaly, Strictness
from contracts.features import OPERATION_SUMS, Signal
from contracts.frames.decoded import F64
from contracts.frames.feature_frame import EvidenceFrame, FeatureFrame
from contracts.plugins import NO_SECTIONS, PluginSections
from contracts.ports.detecting import Detector, Explains, ForgetsEnvironments, Scores, SeriesKey
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AdoptionVerdict, AnomalyPhase, ServiceState
from models import snapshots
from models.detectors import create
from models.engine_state import SPANS, EngineState
from models.episode_judge import EpisodeJudge
from models.fusion import Fusion, leading
from models.in_flight import for_the_load
from models.judgement import CADENCES, LEAST_P
from models.ledger import ANOMALOUS, NAMES, STALE, STATES
from models.level_adoption import LevelAdoption
from models.low_traffic.latency import pool_of, with_pool
from models.low_traffic.watch import LowTraffic
from models.member_parts import told_by
from models.operation_watch import OperationWatch
from models.service.pooled import Pooled
from models.strictness import bounded
from models.succeeding import Successions

VERSION: Final = 2


class DetectEngine:
    """Detection of one partition. `detectors` default to those the settings name, `plugins` are the own settings of plugins among them."""

    def __init__(
        self,
        partition: int,
        settings: DetectSettings,
        detectors: Sequence[Detector] | None = None,
        plugins: PluginSections = NO_SECTIONS,
    ) -> None:
        self.partition, self.settings = partition, settings
        self.detectors = list(detectors) if detectors is not None else create(settings, plugins)
        self._model = "+".join(d.name for d in self.detectors), ",".join(d.version for d in self.detectors)
        self._lead = leading([d.name for d in self.detectors])
        self.fusion = Fusion()
        self._states: dict[str, EngineState] = {}
        self._pools: dict[tuple[str, str], Pooled] = {}
        self._low_traffic: dict[str, LowTraffic] = {}
        self._operations: dict[str, OperationWatch] = {}
        self._strictness: dict[str, float] = {}
        """By environment."""
        self._compose()

    def _compose(self) -> None:
        """Give those who judge and adopt the state that they work on."""
        self._levels = LevelAdoption(self.settings, self.detectors, self._lead, self._pools, self._model)
        self._judge = EpisodeJudge(self.settings, self.fusion, self._levels, self._model)
        self._successions = Successions(self.detectors)

    def observe(self, frame: FeatureFrame, now_ns: int) -> tuple[EvidenceFrame, list[Anomaly]]:
        """Judge one frame. The evidence has the frame's rows.

        Raises:
            UnknownName: the frame has a column that is not a feature, or a signal that is none.
        """
        Signal(frame.signal)
        world = self._world(frame.environment)
        whole, frame = frame, for_the_load(frame, world.services)
        learn = world.may_learn(frame.services, frame.peers, frame.window_ns)
        scores = [d.update(frame, learn) for d in self.detectors]
        lead = scores[self._lead]
        others = {d.name: s for d, s in zip(self.detectors, scores, strict=True) if s is not lead}
        p, opening, lasting = self._fused(frame, lead, others)
        pool = pool_of(self._pools, frame, learn)
        if pool is not None:
            p, opening, lasting = (with_pool(frame, lead, x, pool) for x in (p, opening, lasting))
        low_traffic = self._low_traffic_of(frame.environment)
        pooled = low_traffic.observe(frame, pool, learn, world.strictness)
        for anomaly in pooled:
            if anomaly.phase is AnomalyPhase.OPENED:
                self.fusion.opened(anomaly.environment, anomaly.service, anomaly.time_ns)
        if frame.signal == Signal.EDGES:
            told = self._judge.judge_edges(world, frame, lead, p, now_ns)
            told = [self._divided(a, frame, lead, others, p) for a in told]
            told += pooled + self._models_told(told)
            return _evidence(whole, lead, p, _edge_states(frame, lead, p, self.settings)), told
        anomalies = self._judge.judge_services(world, frame, (lead, pool), (p, opening, lasting), now_ns)
        anomalies = [self._divided(a, frame, lead, others, opening) for a in anomalies]
        anomalies += pooled + self._models_told([*anomalies, *pooled])
        return _evidence(whole, lead, p, self._row_states(world, frame, low_traffic)), anomalies

    def glimpse(self, frame: FeatureFrame) -> list[Anomaly]:
        """Look at a window that is not told yet, by the leader alone: what is plain already opens an anomaly, and nothing is learnt.

        Raises:
            UnknownName: the frame has a column that is not a feature, or a signal that is none.
        """
        Signal(frame.signal)
        world = self._world(frame.environment)
        learn = world.may_learn(frame.services, frame.peers, frame.window_ns)
        lead = self.detectors[self._lead].update(dataclasses.replace(frame, revision=1), learn)
        p = lead.p_value if lead.symptoms is None else lead.symptoms.opening
        opening = -np.log10(np.maximum(_warm(lead, p), LEAST_P))
        told = self._judge.judge_glimpse(world, frame, lead, opening)
        told = [self._divided(a, frame, lead, {}, p) for a in told]
        return told + self._models_told(told)

    def _models_told(self, told: list[Anomaly]) -> list[Anomaly]:
        """What became of the models of members, which are told what came of their claims."""
        outcomes = self.fusion.take_outcomes()
        return self._successions.conclude(outcomes, told) if self._successions.any else []

    def _fused(self, frame: FeatureFrame, lead: Scores, others: Mapping[str, Scores]) -> tuple[F64, F64, F64]:
        """P-values of everything, and of what users feel: what may open an anomaly, and what lasts."""
        p = self.fusion.combine(frame, lead, others, self.settings.open_p) if others else _warm(lead, lead.p_value)
        if lead.symptoms is None:
            opening = lasting = p
        else:
            more = np.where(p < lead.p_value, p, 1.0)  # what a member beside the leader says counts for what users feel
            opening = np.minimum(_warm(lead, lead.symptoms.opening), more)
            lasting = np.minimum(_warm(lead, lead.symptoms.lasting), more)
        if len(frame.presence):
            p, opening, lasting = (np.where(frame.missing, 1.0, x) for x in (p, opening, lasting))
        return p, opening, lasting

    def _divided(
        self, told: Anomaly, frame: FeatureFrame, lead: Scores, others: Mapping[str, Scores], p: F64
    ) -> Anomaly:
        """An anomaly that a model without exact parts opened or told again, with its parts. `p`: what was judged by."""
        if told.phase not in (AnomalyPhase.OPENED, AnomalyPhase.UPDATED):
            return told
        peers = frame.peers or ("",) * len(frame.services)
        i = list(zip(frame.services, peers, strict=True)).index((told.service, told.peer))
        name = self.fusion.speaker(frame, lead, others, i)
        member = next(d for d in self.detectors if d.name == name) if name else self.detectors[self._lead]
        key = SeriesKey(frame.environment, frame.signal, told.service, told.peer)
        told = self._successions.versioned(told, member.name, key)
        if not isinstance(member, Explains):
            return told
        own = -math.log10(max(float(p[i]), LEAST_P))
        return told_by(told, member, frame, i, (lead, others[name] if name else lead, own))

    @staticmethod
    def _row_states(world: EngineState, frame: FeatureFrame, low_traffic: LowTraffic) -> tuple[str, ...]:
        rows = world.services.rows(frame.services, ())
        states = world.services.states(rows, SPANS)
        if low_traffic.troubled:
            troubled = np.array([name in low_traffic.troubled for name in frame.services], np.bool_)
            states = np.where(troubled & (states != STALE), ANOMALOUS, states)
        return tuple(NAMES[states].tolist())

    def _world(self, environment: str) -> EngineState:
        found = self._states.get(environment)
        if found is None:
            found = self._states[environment] = EngineState(environment)
            found.heed_strictness(self._strictness.get(environment, 0.0))
        return found

    def observe_operations(self, frame: FeatureFrame) -> list[Anomaly]:
        """Judge the sums by operation of one window (see `contracts.features.OPERATIONS`).

        Raises:
            UnknownName: the frame has other columns.
        """
        if frame.features != OPERATION_SUMS:
            raise UnknownName("column", ", ".join(frame.features), OPERATION_SUMS)
        world = self._world(frame.environment)
        known = self._operations.get(frame.environment)
        if known is None:
            known = self._operations[frame.environment] = OperationWatch(frame.environment)
        return known.observe(frame, world.may_learn(frame.services, frame.peers, frame.window_ns), world.strictness)

    def _low_traffic_of(self, environment: str) -> LowTraffic:
        found = self._low_traffic.get(environment)
        if found is None:
            found = self._low_traffic[environment] = LowTraffic(environment, int(self.settings.adopt_after_s * SECOND))
        return found

    def tick(self, now_ns: int) -> list[Anomaly]:
        """Notice of whom nothing has come for `stale_s`: whatever becomes of its telemetry, it is not healthy."""
        limit = int(self.settings.stale_s * SECOND)
        for world in self._states.values():
            ledger, n = world.services, len(world.services)
            heard = ledger.view_ns[:, :n] >= 0
            cadence = np.where(heard.any(axis=0), np.where(heard, ledger.cadence_ns[:, :n], 1 << 60).min(axis=0), 0)
            ledger.stale[:n] = now_ns - ledger.told_ns[:n] > np.maximum(limit, CADENCES * cadence)
            if world.reasons:
                world.forget_reasons(int(ledger.window_ns[:, :n].max(initial=0)))
        return []

    def suspend(self, environment: str, service: str, until_ns: int) -> None:
        """Do not learn from `service` until then (event time): what it does is our own action's doing."""
        world = self._world(environment)
        row = world.row(service)
        world.services.suspended_ns[row] = max(until_ns, int(world.services.suspended_ns[row]))

    def changed(self, environment: str, service: str, time_ns: int) -> None:
        """A release, scaling or configuration of `service` was told: what changes with it is no drift."""
        self._successions.changed(environment, service, time_ns)

    @property
    def environments(self) -> tuple[str, ...]:
        """Environments of which something is known."""
        return tuple(self._states)

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        self._states.pop(environment, None)
        for key in [key for key in self._pools if key[0] == environment]:
            del self._pools[key]
        self._low_traffic.pop(environment, None)
        self._operations.pop(environment, None)
        self._strictness.pop(environment, None)
        self.fusion.forget(environment)
        for detector in self.detectors:
            if isinstance(detector, ForgetsEnvironments):
                detector.forget(environment)

    def make_room(self) -> int:
        """Forget services and edges unheard of for longest where there are too many to keep; how many services."""
        return sum(world.make_room() for world in self._states.values())

    def states(self, environment: str) -> dict[str, ServiceState]:
        """The state of every service of an environment."""
        world = self._states.get(environment, EngineState(environment))
        troubled = self._low_traffic_of(environment).troubled
        found = {name: STATES[state] for name, state in world.states().items()}
        return {name: _state(state, name in troubled) for name, state in found.items()}

    def heed(self, adoption: Adoption) -> list[Anomaly]:
        """Take a person's word on the levels of a service: accept them as normal, or refuse to, which undoes an adoption. The
        newest word holds."""
        world = self._world(adoption.environment)
        name = adoption.service
        if adoption.time_ns <= world.words.get(name, 0):
            return []
        world.words[name] = adoption.time_ns
        if adoption.verdict is AdoptionVerdict.REFUSE:
            world.refused[name] = adoption.by
            self._levels.refuse(world, name)
            return []
        world.refused.pop(name, None)
        self.fusion.refuted(adoption.environment, name)
        return self._levels.accept(world, name, adoption.by)

    def heed_strictness(self, word: Strictness) -> None:
        """Ask for as many decades more in an environment as was said last, within `bounded`.

        Raises:
            UnreadableEvent: they are no number.
        """
        self._strictness[word.environment] = bounded(word.strictness)
        if word.environment in self._states:
            self._states[word.environment].heed_strictness(self._strictness[word.environment])

    def snapshot(self) -> bytes:
        """The whole state, detectors included."""
        body = {
            "detectors": {d.name: d.snapshot() for d in self.detectors},
            "fusion": self.fusion.plain(),
            "worlds": {name: world.plain() for name, world in self._states.items()},
            "pools": [[e, s, p.plain()] for (e, s), p in self._pools.items()],
            "low_traffic": [low_traffic.plain() for low_traffic in self._low_traffic.values()],
            "operations": [watch.state() for watch in self._operations.values()],
            "strictness": self._strictness,
        }
        return snapshots.save("detect-engine", VERSION, body)

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state; detectors that were not in it start anew.

        Raises:
            UnreadableEvent: not a snapshot of an engine, or one of a newer version.
        """
        body = snapshots.load("detect-engine", VERSION, state)
        for detector in self.detectors:
            if detector.name in body["detectors"]:
                detector.restore(body["detectors"][detector.name])
        self.fusion = Fusion.of(body.get("fusion", {}))
        worlds = (
            body["worlds"] if "fusion" in body else {}
        )  # before, they were kept otherwise: known again in a few windows
        self._states = {name: EngineState.of(name, plain) for name, plain in worlds.items()}
        self._strictness = {name: bounded(value) for name, value in body.get("strictness", {}).items()}
        for name, world in self._states.items():
            world.heed_strictness(self._strictness.get(name, 0.0))
        self._pools = {(e, s): Pooled.of(p) for e, s, p in body.get("pools", [])}
        self._compose()
        adopt_after_ns = int(self.settings.adopt_after_s * SECOND)
        known = (LowTraffic.of(plain, adopt_after_ns) for plain in body.get("low_traffic", []))
        self._low_traffic = {low_traffic.environment: low_traffic for low_traffic in known}
        watches = (OperationWatch.of(plain) for plain in body.get("operations", []))
        self._operations = {watch.environment: watch for watch in watches}


def _state(state: ServiceState, troubled: bool) -> ServiceState:
    """A service's state; `troubled`: pooled over a longer time, what it does is an anomaly."""
    return ServiceState.ANOMALOUS if troubled and state is not ServiceState.STALE else state


def _warm(lead: Scores, p: F64) -> F64:
    """P-values of rows that may be judged; 1 of the others."""
    found: F64 = np.where(lead.warm, p, 1.0)
    return found


def _edge_states(frame: FeatureFrame, lead: Scores, p: F64, settings: DetectSettings) -> tuple[str, ...]:
    """States of edges: judged window by window, without episodes, because diagnosis reads them as evidence only."""
    known = np.where(p <= settings.open_p, ServiceState.ANOMALOUS, ServiceState.HEALTHY)
    known = np.where(lead.warm, known, ServiceState.WARMING)
    return tuple(str(s) for s in np.where(frame.missing, ServiceState.STALE, known).tolist())


def _evidence(frame: FeatureFrame, lead: Scores, p: F64, states: tuple[str, ...]) -> EvidenceFrame:
    return EvidenceFrame(
        environment=frame.environment,
        signal=frame.signal,
        partition=frame.partition,
        window_ns=frame.window_ns,
        width_ns=frame.width_ns,
        services=frame.services,
        peers=frame.peers,
        versions=frame.versions,
        attributes=frame.attributes,
        features=frame.features,
        values=frame.values,
        counts=frame.counts,
        score=lead.decades,
        low=lead.low,
        high=lead.high,
        p_value=p,
        state=states,
        notes=frame.notes,
        presence=frame.presence,
        aside=frame.aside,
        template_row=frame.template_row,
        template_hash=frame.template_hash,
        template_count=frame.template_count,
        template_text=frame.template_text,
    )
