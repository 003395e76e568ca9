"""Detection of one partition: feature frames in, evidence frames and anomaly events out.

Frame by frame: ask every detector, fuse their p-values, combine a service's signals, bound false discoveries over all
services, and step each service's episode. Who is silent is said by the frames (`contracts.frames.Presence`): a quiet row is a
window without requests, a missing row makes a service stale and says nothing more. Event time decides; the clock only tells
what is stale. Deterministic: the same frames and times give the same events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from contracts.errors import UnknownName
from contracts.events import Adoption, Anomaly, Contribution
from contracts.features import NETWORK_GAP, OPERATION_SUMS, Signal
from contracts.frames.decoded import B1, F64, I8
from contracts.frames.feature_frame import EvidenceFrame, FeatureFrame, Presence
from contracts.plugins import NO_SECTIONS, PluginSections
from contracts.ports.detecting import Detector, ForgetsEnvironments, Scores, SeriesKey
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AdoptionVerdict, AnomalyPhase, ServiceState
from models import snapshots, wording
from models.adoption import Former
from models.contributions import contributions, merge, shared
from models.detectors import create
from models.engine_state import EngineState, SeriesTrack, ServiceDetection, SignalView, plain_world, world_of
from models.episodes import Episode, WindowEvidence
from models.fusion import LEADER, fuse_detectors
from models.harm import Promises, harms, objective_of
from models.judgement import (
    BROKEN_DECADES,
    CADENCES,
    EDGE_SPEAKS,
    HARD_REQUESTS,
    HARM_DECADES,
    LEAST_P,
    SATURATED_DECADES,
    SIGNALS_ADD,
    SPEAKS,
    SUPPORT,
    VIEW_NS,
)
from models.low_traffic.latency import POOLED, pool_contribution, pool_of, with_pool
from models.low_traffic.watch import LowTraffic
from models.operations import OperationWatch
from models.saturation import saturated_rows, saturation
from models.service.pooled import Pool, Pooled

VERSION: Final = 1


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
        self._lead = next((i for i, d in enumerate(self.detectors) if d.name == LEADER), 0)
        self._states: dict[str, EngineState] = {}
        self._pools: dict[tuple[str, str], Pooled] = {}
        self._low_traffic: dict[str, LowTraffic] = {}
        self._operations: dict[str, OperationWatch] = {}
        """By environment."""

    def observe(self, frame: FeatureFrame, now_ns: int) -> tuple[EvidenceFrame, list[Anomaly]]:
        """Judge one frame. The evidence has the frame's rows.

        Raises:
            UnknownName: the frame has a column that is not a feature, or a signal that is none.
        """
        Signal(frame.signal)
        world = self._states.setdefault(frame.environment, EngineState())
        learn = self._may_learn(world, frame)
        scores = [d.update(frame, learn) for d in self.detectors]
        p = fuse_detectors(
            {d.name: np.where(s.warm, s.p_value, np.nan) for d, s in zip(self.detectors, scores, strict=True)}
        )
        lead = scores[self._lead]
        pool = pool_of(self._pools, frame, learn)
        if pool is not None:
            p = with_pool(frame, lead, p, pool)
        p = np.where(frame.missing, 1.0, p)
        low_traffic = self._low_traffic_of(frame.environment)
        pooled = low_traffic.observe(frame, pool, learn)
        if frame.signal == Signal.EDGES:
            told = self._judge_edges(world, frame, lead, p, now_ns)
            return _evidence(frame, lead, p, _edge_states(frame, lead, p, self.settings)), told + pooled
        anomalies = self._judge(world, frame, (lead, pool), p, now_ns)
        states = tuple(_state(world.services[s].state, s in low_traffic.troubled).value for s in frame.services)
        return _evidence(frame, lead, p, states), anomalies + pooled

    def observe_operations(self, frame: FeatureFrame) -> list[Anomaly]:
        """Judge the sums by operation of one window (see `contracts.features.OPERATIONS`).

        Raises:
            UnknownName: the frame has other columns.
        """
        if frame.features != OPERATION_SUMS:
            raise UnknownName("column", ", ".join(frame.features), OPERATION_SUMS)
        world = self._states.setdefault(frame.environment, EngineState())
        known = self._operations.get(frame.environment)
        if known is None:
            known = self._operations[frame.environment] = OperationWatch(frame.environment)
        return known.observe(frame, self._may_learn(world, frame))

    def _low_traffic_of(self, environment: str) -> LowTraffic:
        found = self._low_traffic.get(environment)
        if found is None:
            found = self._low_traffic[environment] = LowTraffic(environment, int(self.settings.adopt_after_s * SECOND))
        return found

    def tick(self, now_ns: int) -> list[Anomaly]:
        """Notice of whom nothing has come for `stale_s`: whatever becomes of its telemetry, it is not healthy."""
        for world in self._states.values():
            for service in world.services.values():
                limit = max(int(self.settings.stale_s * SECOND), CADENCES * service.cadence_ns)
                service.stale = now_ns - service.told_ns > limit
        return []

    def suspend(self, environment: str, service: str, until_ns: int) -> None:
        """Do not learn from `service` until then (event time): what it does is our own action's doing."""
        world = self._states.setdefault(environment, EngineState())
        world.suspended[service] = max(until_ns, world.suspended.get(service, 0))

    @property
    def environments(self) -> tuple[str, ...]:
        """Environments of which something is known."""
        return tuple(self._states)

    def forget(self, environment: str) -> None:
        """An environment is gone."""
        self._states.pop(environment, None)
        self._pools = {key: p for key, p in self._pools.items() if key[0] != environment}
        self._low_traffic.pop(environment, None)
        self._operations.pop(environment, None)
        for detector in self.detectors:
            if isinstance(detector, ForgetsEnvironments):
                detector.forget(environment)

    def make_room(self) -> int:
        """Forget services and edges unheard of for longest where there are too many to keep; how many services."""
        return sum(world.make_room() for world in self._states.values())

    def states(self, environment: str) -> dict[str, ServiceState]:
        """The state of every service of an environment."""
        world = self._states.get(environment, EngineState())
        troubled = self._low_traffic_of(environment).troubled
        return {name: _state(service.state, name in troubled) for name, service in world.services.items()}

    def heed(self, adoption: Adoption) -> list[Anomaly]:
        """Take a person's word on the levels of a service: accept them as normal, or refuse to, which undoes an adoption. The
        newest word holds."""
        world = self._states.setdefault(adoption.environment, EngineState())
        name = adoption.service
        if adoption.time_ns <= world.words.get(name, 0):
            return []
        world.words[name] = adoption.time_ns
        if adoption.verdict is AdoptionVerdict.REFUSE:
            world.refused[name] = adoption.by
            for key in [key for key in world.formers if key[0] == name]:
                self._rebase(adoption.environment, key, _levels_of(world.formers.pop(key)))
            return []
        world.refused.pop(name, None)
        service = world.services.get(name)
        own = [service.episode] if service is not None else []
        concerned = [e for e in (*own, *world.edges.values()) if e.service == name and e.open and e.adopting.levels()]
        return [self._adopt(world, e, e.last_ns, adoption.by) for e in concerned]

    def snapshot(self) -> bytes:
        """The whole state, detectors included."""
        body = {
            "detectors": {d.name: d.snapshot() for d in self.detectors},
            "worlds": {name: plain_world(world) for name, world in self._states.items()},
            "pools": [[e, s, p.plain()] for (e, s), p in self._pools.items()],
            "low_traffic": [low_traffic.plain() for low_traffic in self._low_traffic.values()],
            "operations": [watch.state() for watch in self._operations.values()],
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
        self._states = {name: world_of(plain) for name, plain in body["worlds"].items()}
        self._pools = {(e, s): Pooled.of(p) for e, s, p in body.get("pools", [])}
        adopt_after_ns = int(self.settings.adopt_after_s * SECOND)
        known = (LowTraffic.of(plain, adopt_after_ns) for plain in body.get("low_traffic", []))
        self._low_traffic = {low_traffic.environment: low_traffic for low_traffic in known}
        watches = (OperationWatch.of(plain) for plain in body.get("operations", []))
        self._operations = {watch.environment: watch for watch in watches}

    def _may_learn(self, world: EngineState, frame: FeatureFrame) -> B1:
        """False for services that our own action disturbs, and for those with an episode on: what stays changed becomes normal
        by adoption or not at all."""
        may = np.ones(len(frame.services), np.bool_)
        for i, name in enumerate(frame.services):
            service = world.services.get(name)
            disturbed = frame.window_ns < world.suspended.get(name, 0)
            may[i] = not disturbed and (service is None or not service.troubled(frame.window_ns))
        for i, key in enumerate(zip(frame.services, frame.peers, strict=False)):
            episode = world.edges.get(key)
            may[i] &= episode is None or not episode.open
        return may

    def _judge(
        self, world: EngineState, frame: FeatureFrame, opinion: tuple[Scores, Pool | None], p: F64, now_ns: int
    ) -> list[Anomaly]:
        """Update each service's view and step the episodes of those about which the frame has news."""
        lead, pool = opinion
        settled = self._hear(world, frame, now_ns)
        saturated = saturated_rows(world, frame, lead)
        broken = Promises(self.settings, world.promises.setdefault(frame.signal, {})).take(frame)
        certain = saturated.copy()
        certain[list(broken)] = True
        p = np.where(saturated, np.minimum(p, 10.0**-SATURATED_DECADES), p)
        p[list(broken)] = np.minimum(p[list(broken)], 10.0**-BROKEN_DECADES)
        decades = -np.log10(np.maximum(p, LEAST_P))
        fused = np.array([self._combine(world, frame, i, float(decades[i])) for i in range(len(p))])
        missing = frame.missing
        found = self._discoveries(world, frame, np.power(10.0, -fused)) & (saturated | settled)
        news = _informative(frame, decades)
        late = max(0, now_ns - frame.window_ns - frame.width_ns)
        told: list[Anomaly] = []
        for i, name in enumerate(frame.services):
            service = world.services[name]
            if missing[i]:
                continue
            speaks = decades[i] >= SPEAKS or service.episode.open
            own = contributions(frame, lead, i, self._apart_ns(service, frame)) if speaks else []
            own += pool_contribution(frame, pool, i, own) if speaks and pool is not None else []
            own += saturation(frame, lead, i, own) if saturated[i] else []
            own += [b for b in broken.get(i, ()) if b.feature not in {c.feature for c in own}]
            warm = self._see(service, frame, float(decades[i]), bool(lead.warm[i]), own)
            if frame.revision > 0 or not (news[i] or service.episode.open) or frame.window_ns <= service.ended_ns:
                continue
            look = WindowEvidence(
                signal=frame.signal,
                window_ns=frame.window_ns,
                decades=float(fused[i]),
                discovery=bool(found[i]),
                requests=HARD_REQUESTS if certain[i] else int(frame.counts[i]),
                contributions=merge(service, frame.window_ns) if speaks else (),
                late_ns=late,
                empty=not bool(news[i]),
                hard=frame.signal == Signal.SPANS or bool(certain[i]),
            )
            said = service.episode.look(look, warm or bool(certain[i]), self.settings, self._model)
            said += self._follow(world, service.episode, frame, i, look.contributions)
            if said and said[-1].phase is AnomalyPhase.CLOSED:
                service.ended_ns = frame.window_ns
            told += said
        return told

    def _judge_edges(self, world: EngineState, frame: FeatureFrame, lead: Scores, p: F64, now_ns: int) -> list[Anomaly]:
        """Step the episodes of edges on which time is lost *between* the services: what neither of them shows. Slow or
        failing callees are anomalies of the callee, so other edges stay evidence only."""
        if NETWORK_GAP not in frame.features or frame.revision > 0:
            return []
        gap = lead.decades[:, frame.features.index(NETWORK_GAP)]
        decades = -np.log10(np.maximum(p, LEAST_P))
        presence, missing, settled = _presence(frame), frame.missing, np.zeros(len(p), np.bool_)
        for i, key in enumerate(zip(frame.services, frame.peers, strict=True)):
            track = world.calls.setdefault(key, SeriesTrack())
            track.follow(frame.window_ns, int(presence[i]), frame.width_ns)
            settled[i] = frame.window_ns >= track.settled_ns
        found = self._discoveries(world, frame, p) & settled
        told: list[Anomaly] = []
        for i, key in enumerate(zip(frame.services, frame.peers, strict=True)):
            lost = gap[i] >= EDGE_SPEAKS
            if missing[i] or not lead.warm[i] or not (key in world.edges or lost):
                continue
            episode = world.edges.setdefault(key, Episode(frame.environment, key[0], key[1]))
            look = WindowEvidence(
                signal=frame.signal,
                window_ns=frame.window_ns,
                decades=float(decades[i]) if lost or episode.open else 0.0,
                discovery=bool(found[i]),
                requests=int(frame.counts[i]),
                contributions=shared(contributions(frame, lead, i, frame.width_ns)),
                late_ns=max(0, now_ns - frame.window_ns - frame.width_ns),
                empty=int(frame.counts[i]) == 0,
            )
            told += episode.look(look, True, self.settings, self._model)
            told += self._follow(world, episode, frame, i, look.contributions)
        return told

    def _follow(
        self, world: EngineState, episode: Episode, frame: FeatureFrame, i: int, parts: tuple[Contribution, ...]
    ) -> list[Anomaly]:
        """Follow what departs in an open episode, and end it by adoption where that harms nobody and has settled."""
        if not episode.open:
            return []
        adopting, name = episode.adopting, episode.service
        objective = objective_of(self.settings, frame.environment, name)
        for feature, course in adopting.courses.items():
            j = frame.features.index(feature) if course.signal == frame.signal and feature in frame.features else -1
            if j >= 0 and np.isfinite(frame.values[i, j]):
                course.take(frame.window_ns, float(frame.values[i, j]))
        sure = [part for part in parts if abs(part.decades) >= HARM_DECADES]
        if any(harms(part, self.settings, objective) for part in (*sure, *adopting.parts())):
            adopting.harmed_ns = max(adopting.harmed_ns, frame.window_ns)
        due = adopting.ready(frame.window_ns, int(self.settings.adopt_after_s * SECOND))
        due |= adopting.returned(frame.window_ns, world.formers.get((name, episode.peer), {}))
        if not due or name in world.refused:
            return []
        return [self._adopt(world, episode, frame.window_ns, wording.OURSELVES)]

    def _adopt(self, world: EngineState, episode: Episode, window_ns: int, by: str) -> Anomaly:
        """Take the levels of an episode for normal, and remember those from before."""
        key, adopting = (episode.service, episode.peer), episode.adopting
        before = self._rebase(episode.environment, key, adopting.levels())
        world.formers[key] = {**world.formers.get(key, {}), **adopting.formers(before, window_ns)}
        return episode.adopt(window_ns, self._model, by, wording.adopted(adopting.parts(), by))

    def _rebase(
        self, environment: str, key: tuple[str, str], levels: Mapping[tuple[str, str], float]
    ) -> dict[str, float]:
        """Let all models take these levels (by signal and feature) for normal; what the leading one took for it until now."""
        before: dict[str, float] = {}
        for signal in sorted({signal for signal, _ in levels}):
            some = {feature: level for (s, feature), level in levels.items() if s == signal}
            for i, detector in enumerate(self.detectors):
                known = detector.rebase(SeriesKey(environment, signal, *key), some)
                before |= known if i == self._lead else {}
            pool, pooled = self._pools.get((environment, signal)), POOLED.get(signal)
            if pool is not None and pooled in some:
                pool.rebase(*key, some[pooled])
        return before

    @staticmethod
    def _apart_ns(service: ServiceDetection, frame: FeatureFrame) -> int:
        """How far apart a service's observations of this signal usually are."""
        view = service.views.get(frame.signal)
        return view.cadence_ns if view is not None else frame.width_ns

    def _discoveries(self, world: EngineState, frame: FeatureFrame, p: F64) -> B1:
        """Which rows' p-values may be called discoveries, among those of all series; corrections make none."""
        if frame.revision > 0:
            return np.zeros(len(p), np.bool_)
        keys = frame.services, frame.peers
        known = np.where(frame.missing, np.nan, p)
        return world.family(frame.signal).discoveries(keys, known, self.settings.false_discovery_rate)

    @staticmethod
    def _hear(world: EngineState, frame: FeatureFrame, now_ns: int) -> B1:
        """Take note of who has a row; which of them have been watched for long enough to open anything."""
        presence, settled = _presence(frame), np.ones(len(frame.services), np.bool_)
        for i, name in enumerate(frame.services):
            service = world.services.get(name)
            if service is None:
                service = world.services[name] = ServiceDetection(Episode(frame.environment, name))
            service.told_ns, service.stale = max(service.told_ns, now_ns), False
            if frame.revision > 0:
                continue
            track = service.tracks.setdefault(frame.signal, SeriesTrack())
            hole = track.follow(frame.window_ns, int(presence[i]), frame.width_ns)
            if frame.signal == Signal.METRICS:
                continue  # they come when their reader likes: a hole says nothing
            if hole:
                for history in service.episode.histories.values():
                    history.suspicious, history.uneasy_since_ns = [], 0
            settled[i] = frame.window_ns >= track.settled_ns
        return settled

    @staticmethod
    def _combine(world: EngineState, frame: FeatureFrame, i: int, own: float) -> float:
        """Decades of this signal plus part of what the others say at the same time. They can't speak for a signal that
        sees nothing itself."""
        service = world.services[frame.services[i]]
        others = [v.decades for s, v in service.views.items() if s != frame.signal and v.counts_at(frame.window_ns)]
        return own + SIGNALS_ADD * min(max(others, default=0.0), SUPPORT * own)

    @staticmethod
    def _see(
        service: ServiceDetection, frame: FeatureFrame, decades: float, warm: bool, own: list[Contribution]
    ) -> bool:
        """Put the newest evidence of this signal on record; whether any signal is warm."""
        old = service.views.get(frame.signal)
        cadence = frame.width_ns
        if old is not None and frame.window_ns > old.window_ns:
            cadence = max(frame.width_ns, min(frame.window_ns - old.window_ns, VIEW_NS))
        if old is None or frame.window_ns >= old.window_ns:
            service.views[frame.signal] = SignalView(frame.window_ns, decades, warm, cadence, own)
        return any(v.warm for v in service.views.values())


def _state(state: ServiceState, troubled: bool) -> ServiceState:
    """A service's state; `troubled`: pooled over a longer time, what it does is an anomaly."""
    return ServiceState.ANOMALOUS if troubled and state is not ServiceState.STALE else state


def _presence(frame: FeatureFrame) -> I8:
    return frame.presence if len(frame.presence) else np.full(len(frame.services), Presence.OBSERVED, np.int8)


def _levels_of(former: Mapping[str, Former]) -> dict[tuple[str, str], float]:
    return {(f.signal, feature): f.level for feature, f in former.items()}


def _informative(frame: FeatureFrame, decades: F64) -> B1:
    """Which rows say something new: requests came, a metric was read, or what should have come did not."""
    if frame.signal == Signal.METRICS:
        return np.asarray(np.isfinite(frame.values).any(axis=1), np.bool_)
    found: B1 = (frame.counts > 0) | (decades >= SPEAKS)
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
    )
