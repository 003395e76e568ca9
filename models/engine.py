"""Detection of one partition: feature frames in, evidence frames and anomaly events out.

Frame by frame: complete it with who fell silent, ask every detector, fuse their p-values, combine a service's signals,
bound false discoveries over all services, and step each service's episode. Event time decides; the clock only tells what
is stale. Deterministic: the same frames and times give the same events.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import numpy as np

from contracts.events import Anomaly, Contribution
from contracts.features import FEATURES, LATENCY_P50, NETWORK_GAP, REQUEST_RATE, Kind, Signal
from contracts.frames.features import EvidenceFrame, FeatureFrame
from contracts.frames.telemetry import B1, F64
from contracts.ports.detecting import Detector, Scores
from contracts.settings import DetectSettings
from contracts.verdicts import ServiceState
from models import snapshots, wording
from models.calibration import LEAST_P
from models.detectors import create
from models.episodes import HARD_REQUESTS, Episode, Look
from models.fusion import LEADER, SIGNALS_ADD, SUPPORT, discoveries, fuse_detectors
from models.presence import COUNTED, NS, Presence
from models.service.pooled import Given, Pool, Pooled

VERSION: Final = 1
FREEZE_NS: Final = 900 * NS
"""An open episode keeps its service from being learnt for this long; then what stays is the new normal."""
VIEW_WINDOWS: Final = 3
"""A signal's evidence counts beside another's for this many of its windows, and never longer than `VIEW_NS`."""
VIEW_NS: Final = 90 * NS
SPEAKS: Final = 1.0
"""Decades from which a feature is named in an anomaly."""
EDGE_SPEAKS: Final = 3.0
"""Decades of lost time between two services from which an edge may open an episode of its own."""
STEADY: Final = 0.5
"""Requests per second from which a service's disappearance is an anomaly."""
THIN_CAP: Final = 3.0
"""Decades that slow requests of a thin service may give while the last of them, pooled, are as they should be."""
AGREES: Final = 4.0
"""Decades from which the pooled latency says so too: what opens an episode elsewhere."""
RESETTLE_NS: Final = 20 * NS
"""After a gap in what was delivered, nothing opens for this long: what comes first is not what is usual."""
POOL_SPEAKS: Final = 5.0
POOL_RATIO: Final = 1.5
"""Pooled latency opens an episode by itself from these decades and this many times what was usual."""
POOLED: Final = {Signal.SPANS.value: LATENCY_P50, Signal.EDGES.value: NETWORK_GAP}
SLOW_NS: Final = 15 * NS
"""Readings further apart than this are means over that time: each is a busy spell, not a spike."""
SATURATED: Final = 0.6
"""Share of its limit from which a resource is taken to hold the service up."""
SATURATED_DECADES: Final = 7.0


@dataclass(slots=True)
class View:
    """The newest evidence of one signal about a service. `cadence_ns`: how far apart its windows usually are."""

    window_ns: int
    decades: float
    warm: bool
    cadence_ns: int
    contributions: list[Contribution] = field(default_factory=list)

    def counts_at(self, window_ns: int) -> bool:
        """Whether this still says something about `window_ns`."""
        return abs(window_ns - self.window_ns) <= min(VIEW_WINDOWS * self.cadence_ns, VIEW_NS)


@dataclass(slots=True)
class Service:
    """All that is known of one service."""

    episode: Episode
    views: dict[str, View] = field(default_factory=dict)
    heard_ns: int = 0
    rate: float = 0.0
    """Usual requests per second."""
    stale: bool = False

    @property
    def state(self) -> ServiceState:
        """What may be said of it now: stale or warming is never healthy."""
        return ServiceState.STALE if self.stale else self.episode.state


@dataclass(slots=True)
class World:
    """One environment, as far as this partition sees it."""

    services: dict[str, Service] = field(default_factory=dict)
    newest_ns: int = 0
    suspended: dict[str, int] = field(default_factory=dict)
    edges: dict[tuple[str, str], Episode] = field(default_factory=dict)
    """Episodes of edges that have had one."""
    settled_ns: int = 0
    """Nothing opens before this, for event time jumped a moment ago."""


class DetectEngine:
    """Detection of one partition. `detectors` default to those the settings name."""

    def __init__(self, partition: int, settings: DetectSettings, detectors: Sequence[Detector] | None = None) -> None:
        self.partition, self.settings = partition, settings
        self.detectors = list(detectors) if detectors is not None else create(settings)
        self._model = "+".join(d.name for d in self.detectors), ",".join(d.version for d in self.detectors)
        self._lead = next((i for i, d in enumerate(self.detectors) if d.name == LEADER), 0)
        self._worlds: dict[str, World] = {}
        self._presence: dict[tuple[str, str], Presence] = {}
        self._pools: dict[tuple[str, str], Pooled] = {}

    def observe(self, frame: FeatureFrame, now_ns: int) -> tuple[EvidenceFrame, list[Anomaly]]:
        """Judge one frame. The evidence has the frame's rows, then those of services that sent nothing.

        Raises:
            UnknownName: the frame has a column that is not a feature, or a signal that is none.
        """
        Signal(frame.signal)
        world = self._worlds.setdefault(frame.environment, World())
        presence = self._presence.setdefault((frame.environment, frame.signal), Presence())
        complete, jumped = presence.complete(frame)
        if jumped:
            self._forgive_gap(world, frame)
        learn = self._may_learn(world, complete)
        scores = [d.update(complete, learn) for d in self.detectors]
        p = fuse_detectors(
            {d.name: np.where(s.warm, s.p_value, np.nan) for d, s in zip(self.detectors, scores, strict=True)}
        )
        lead = scores[self._lead]
        pool = self._pool(complete, learn)
        if pool is not None:
            p = _with_pool(complete, lead, p, pool)
        if complete.signal == Signal.EDGES:
            told = self._judge_edges(world, complete, lead, p, now_ns)
            return _evidence(complete, lead, p, _edge_states(lead, p, self.settings)), told
        anomalies = self._judge(world, complete, (lead, pool), p, now_ns)
        states = tuple(world.services[s].state.value for s in complete.services)
        return _evidence(complete, lead, p, states), anomalies

    def tick(self, now_ns: int) -> list[Anomaly]:
        """Notice who has not been heard of for `stale_s`: while others are, it is an anomaly of a busy service."""
        told: list[Anomaly] = []
        limit = int(self.settings.stale_s * NS)
        for world in self._worlds.values():
            for service in world.services.values():
                behind = world.newest_ns - service.heard_ns
                service.stale = behind > limit or now_ns - service.heard_ns > 2 * limit
                if behind > limit:
                    told += self._silenced(service, world.newest_ns, behind)
        return told

    def suspend(self, environment: str, service: str, until_ns: int) -> None:
        """Do not learn from `service` until then (event time): what it does is our own action's doing."""
        world = self._worlds.setdefault(environment, World())
        world.suspended[service] = max(until_ns, world.suspended.get(service, 0))

    def states(self, environment: str) -> dict[str, ServiceState]:
        """The state of every service of an environment."""
        world = self._worlds.get(environment, World())
        return {name: service.state for name, service in world.services.items()}

    def snapshot(self) -> bytes:
        """The whole state, detectors included."""
        body = {
            "detectors": {d.name: d.snapshot() for d in self.detectors},
            "worlds": {name: _plain_world(world) for name, world in self._worlds.items()},
            "pools": [[e, s, p.plain()] for (e, s), p in self._pools.items()],
            "presence": [[e, s, p.plain()] for (e, s), p in self._presence.items()],
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
        self._worlds = {name: _world_of(plain) for name, plain in body["worlds"].items()}
        self._presence = {(e, s): Presence.of(p) for e, s, p in body["presence"]}
        self._pools = {(e, s): Pooled.of(p) for e, s, p in body.get("pools", [])}

    def _may_learn(self, world: World, frame: FeatureFrame) -> B1:
        """False for services that our own action disturbs, and for those with an episode on, for a bounded time."""
        may = np.ones(len(frame.services), np.bool_)
        for i, name in enumerate(frame.services):
            service = world.services.get(name)
            if service is not None and service.episode.open:
                may[i] = frame.window_ns - service.episode.opened_ns > FREEZE_NS
            if frame.window_ns < world.suspended.get(name, 0):
                may[i] = False
        return may

    @staticmethod
    def _forgive_gap(world: World, frame: FeatureFrame) -> None:
        """Event time jumped: nobody was heard of because nobody listened. Metrics may simply come every minute."""
        world.newest_ns = max(world.newest_ns, frame.window_ns)
        for service in world.services.values():
            service.heard_ns = max(service.heard_ns, frame.window_ns)
            if frame.signal in COUNTED:
                for history in service.episode.histories.values():
                    history.suspicious, history.uneasy_since_ns = [], 0
        if frame.signal in COUNTED:
            world.settled_ns = max(world.settled_ns, frame.window_ns + RESETTLE_NS)

    def _pool(self, frame: FeatureFrame, learn: B1) -> Pool | None:
        """The pooled latency of the frame's rows, where its signal has one."""
        name = POOLED.get(frame.signal)
        if name not in frame.features or frame.revision > 0:
            return None
        pooled = self._pools.setdefault((frame.environment, frame.signal), Pooled())
        given = Given(frame.values[:, frame.features.index(name)], frame.counts, learn)
        return pooled.step((frame.services, frame.peers), (frame.window_ns, frame.width_ns), given)

    def _judge(
        self, world: World, frame: FeatureFrame, opinion: tuple[Scores, Pool | None], p: F64, now_ns: int
    ) -> list[Anomaly]:
        """Update each service's view and step the episodes of those about which the frame has news."""
        lead, pool = opinion
        self._hear(world, frame)
        saturated = _saturated(world, frame, lead)
        p = np.where(saturated, np.minimum(p, 10.0**-SATURATED_DECADES), p)
        decades = -np.log10(np.maximum(p, LEAST_P))
        fused = np.array([self._combine(world, frame, i, float(decades[i])) for i in range(len(p))])
        found = discoveries(np.power(10.0, -fused), self.settings.false_discovery_rate)
        found &= saturated | (frame.window_ns >= world.settled_ns)
        news = _informative(frame, decades)
        late = max(0, now_ns - frame.window_ns - frame.width_ns)
        told: list[Anomaly] = []
        for i, name in enumerate(frame.services):
            service = world.services[name]
            speaks = decades[i] >= SPEAKS or service.episode.open
            own = _contributions(frame, lead, i) if speaks else []
            own += _pool_contribution(frame, pool, i, own) if speaks and pool is not None else []
            own += _saturation(frame, lead, i, own) if saturated[i] else []
            warm = self._see(service, frame, float(decades[i]), bool(lead.warm[i]), own)
            if frame.revision > 0 or not (news[i] or service.episode.open):
                continue
            look = Look(
                signal=frame.signal,
                window_ns=frame.window_ns,
                decades=float(fused[i]),
                discovery=bool(found[i]),
                requests=HARD_REQUESTS if saturated[i] else int(frame.counts[i]),
                contributions=_merge(service, frame.window_ns) if speaks else (),
                late_ns=late,
                empty=not bool(news[i]),
                hard=frame.signal == Signal.SPANS or bool(saturated[i]),
            )
            told += service.episode.look(look, warm or bool(saturated[i]), self.settings, self._model)
        return told

    def _judge_edges(self, world: World, frame: FeatureFrame, lead: Scores, p: F64, now_ns: int) -> list[Anomaly]:
        """Step the episodes of edges on which time is lost *between* the services: what neither of them shows. Slow or
        failing callees are anomalies of the callee, so other edges stay evidence only."""
        if NETWORK_GAP not in frame.features or frame.revision > 0:
            return []
        gap = lead.decades[:, frame.features.index(NETWORK_GAP)]
        decades = -np.log10(np.maximum(p, LEAST_P))
        found = discoveries(p, self.settings.false_discovery_rate) & (frame.window_ns >= world.settled_ns)
        told: list[Anomaly] = []
        for i, key in enumerate(zip(frame.services, frame.peers, strict=True)):
            lost = gap[i] >= EDGE_SPEAKS
            if not lead.warm[i] or not (key in world.edges or lost):
                continue
            episode = world.edges.setdefault(key, Episode(frame.environment, key[0], key[1]))
            look = Look(
                signal=frame.signal,
                window_ns=frame.window_ns,
                decades=float(decades[i]) if lost or episode.open else 0.0,
                discovery=bool(found[i]),
                requests=int(frame.counts[i]),
                contributions=_shared(_contributions(frame, lead, i)),
                late_ns=max(0, now_ns - frame.window_ns - frame.width_ns),
                empty=int(frame.counts[i]) == 0,
            )
            told += episode.look(look, True, self.settings, self._model)
        return told

    def _hear(self, world: World, frame: FeatureFrame) -> None:
        counted = frame.signal == Signal.SPANS
        for i, name in enumerate(frame.services):
            service = world.services.get(name)
            if service is None:
                service = world.services[name] = Service(Episode(frame.environment, name), heard_ns=frame.window_ns)
            count = int(frame.counts[i])
            if count > 0 or np.isfinite(frame.values[i]).sum() > 1:
                service.heard_ns = max(service.heard_ns, frame.window_ns)
                service.stale = False
            if counted and not service.episode.open:
                service.rate += 0.02 * (count * NS / frame.width_ns - service.rate)
        world.newest_ns = max(world.newest_ns, frame.window_ns)

    @staticmethod
    def _combine(world: World, frame: FeatureFrame, i: int, own: float) -> float:
        """Decades of this signal plus part of what the others say at the same time. They can't speak for a signal that
        sees nothing itself."""
        service = world.services[frame.services[i]]
        others = [v.decades for s, v in service.views.items() if s != frame.signal and v.counts_at(frame.window_ns)]
        return own + SIGNALS_ADD * min(max(others, default=0.0), SUPPORT * own)

    @staticmethod
    def _see(service: Service, frame: FeatureFrame, decades: float, warm: bool, own: list[Contribution]) -> bool:
        """Put the newest evidence of this signal on record; whether any signal is warm."""
        old = service.views.get(frame.signal)
        cadence = frame.width_ns
        if old is not None and frame.window_ns > old.window_ns:
            cadence = max(frame.width_ns, min(frame.window_ns - old.window_ns, VIEW_NS))
        if old is None or frame.window_ns >= old.window_ns:
            service.views[frame.signal] = View(frame.window_ns, decades, warm, cadence, own)
        return any(v.warm for v in service.views.values())

    def _silenced(self, service: Service, newest_ns: int, behind_ns: int) -> list[Anomaly]:
        """A busy service went away while others are heard: open an episode."""
        if service.rate < STEADY or service.episode.open or service.episode.state is ServiceState.WARMING:
            return []
        contribution = Contribution(
            signal=Signal.SPANS,
            feature=REQUEST_RATE,
            value=0.0,
            low=0.5 * service.rate,
            high=2.0 * service.rate,
            decades=-float(-np.log10(self.settings.open_p)),
            share=1.0,
        )
        look = Look(Signal.SPANS, newest_ns, -contribution.decades, True, 0, (contribution,))
        text = wording.silent(behind_ns / NS, service.rate)
        return service.episode.silence(look, service.heard_ns, self._model, text)


def _informative(frame: FeatureFrame, decades: F64) -> B1:
    """Which rows say something new: requests came, a metric was read, or what should have come did not."""
    if frame.signal == Signal.METRICS:
        return np.asarray(np.isfinite(frame.values).any(axis=1), np.bool_)
    found: B1 = (frame.counts > 0) | (decades >= SPEAKS)
    return found


def _contributions(frame: FeatureFrame, lead: Scores, i: int) -> list[Contribution]:
    """The features of row i that hurt, loudest first; `share` is filled in when signals are merged."""
    found: list[Contribution] = []
    for j, name in enumerate(frame.features):
        decades, worse = float(lead.decades[i, j]), FEATURES[name].worse
        if abs(decades) < SPEAKS or (worse != 0 and decades * worse < 0):
            continue
        value = float(frame.values[i, j])
        low, high = float(lead.low[i, j]), float(lead.high[i, j])
        known = value if np.isfinite(value) else None
        low, high = (low, high) if np.isfinite(low + high) else (0.0, 0.0)
        found.append(
            Contribution(signal=frame.signal, feature=name, value=known, low=low, high=high, decades=decades, share=0.0)
        )
    return found


def _with_pool(frame: FeatureFrame, lead: Scores, p: F64, pool: Pool) -> F64:
    """P-values of thin rows in the light of their pooled latency. Slow requests alone are capped until the pool agrees;
    where the pool is sure, it speaks for the row."""
    kinds = [FEATURES[name].kind for name in frame.features]
    slow = np.array([k is Kind.LATENCY for k in kinds], np.bool_)
    worse = np.array([FEATURES[name].worse for name in frame.features], np.float64)
    hurts = np.where(worse == 0, np.abs(lead.decades), np.maximum(lead.decades * worse, 0.0))
    other = np.where(slow, 0.0, hurts).max(axis=1, initial=0.0)
    alone = pool.thin & (other < THIN_CAP) & (pool.decades < AGREES)
    p = np.where(alone, np.maximum(p, 10.0**-THIN_CAP), p)
    sure = (pool.decades >= POOL_SPEAKS) & (pool.typical >= POOL_RATIO * np.sqrt(pool.low * pool.high))
    bound = np.power(10.0, -pool.decades)
    return np.where(sure & (frame.counts > 0), np.minimum(p, bound), p)


def _pool_contribution(frame: FeatureFrame, pool: Pool, i: int, own: list[Contribution]) -> list[Contribution]:
    """The pooled latency as a reason, where the window's own latency is not one already."""
    name = POOLED[frame.signal]
    if pool.decades[i] < AGREES or any(c.feature == name for c in own):
        return []
    decades, value = float(pool.decades[i]), float(pool.typical[i])
    low, high = float(pool.low[i]), float(pool.high[i])
    return [
        Contribution(signal=frame.signal, feature=name, value=value, low=low, high=high, decades=decades, share=0.0)
    ]


def _saturated(world: World, frame: FeatureFrame, lead: Scores) -> B1:
    """Rows whose slow readings (means over `SLOW_NS` or longer) say that a resource is used up, far above what it was."""
    found = np.zeros(len(frame.services), np.bool_)
    columns = _limits(frame)
    if not columns:
        return found
    for j in columns:
        found |= (frame.values[:, j] >= SATURATED) & (frame.values[:, j] > 2.0 * lead.high[:, j])
    for i in np.flatnonzero(found):
        view = world.services[frame.services[i]].views.get(frame.signal)
        found[i] = view is not None and frame.window_ns - view.window_ns >= SLOW_NS
    return found


def _limits(frame: FeatureFrame) -> list[int]:
    """Columns that are shares of a limit."""
    if frame.signal != Signal.METRICS:
        return []
    return [j for j, name in enumerate(frame.features) if FEATURES[name].kind is Kind.UTILIZATION]


def _saturation(frame: FeatureFrame, lead: Scores, i: int, own: list[Contribution]) -> list[Contribution]:
    """The resources that are used up as reasons, where they are not already."""
    told = {c.feature for c in own}
    found: list[Contribution] = []
    for j in _limits(frame):
        value, high = float(frame.values[i, j]), float(lead.high[i, j])
        if frame.features[j] not in told and value >= SATURATED and value > 2.0 * high:
            reason = Contribution(
                signal=frame.signal,
                feature=frame.features[j],
                value=value,
                low=float(lead.low[i, j]),
                high=high,
                decades=SATURATED_DECADES,
                share=0.0,
            )
            found.append(reason)
    return found


def _merge(service: Service, window_ns: int) -> tuple[Contribution, ...]:
    """Contributions of all signals that count at `window_ns`, with their shares, loudest first."""
    return _shared([c for v in service.views.values() if v.counts_at(window_ns) for c in v.contributions])


def _shared(parts: list[Contribution]) -> tuple[Contribution, ...]:
    total = sum(abs(c.decades) for c in parts) or 1.0
    ordered = sorted(parts, key=lambda c: (-abs(c.decades), c.signal, c.feature))
    return tuple(msgspec.structs.replace(c, share=abs(c.decades) / total) for c in ordered)


def _edge_states(lead: Scores, p: F64, settings: DetectSettings) -> tuple[str, ...]:
    """States of edges: judged window by window, without episodes, because diagnosis reads them as evidence only."""
    odd = p <= settings.open_p
    return tuple(
        (ServiceState.WARMING if not w else ServiceState.ANOMALOUS if o else ServiceState.HEALTHY).value
        for w, o in zip(lead.warm.tolist(), odd.tolist(), strict=True)
    )


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
    )


def _plain_world(world: World) -> dict[str, Any]:
    services = {name: {**_plain_service(s), "episode": s.episode.plain()} for name, s in world.services.items()}
    edges = [episode.plain() for episode in world.edges.values()]
    return {
        "services": services,
        "newest_ns": world.newest_ns,
        "suspended": world.suspended,
        "edges": edges,
        "settled_ns": world.settled_ns,
    }


def _plain_service(service: Service) -> dict[str, Any]:
    views = {
        signal: [v.window_ns, v.decades, v.warm, v.cadence_ns, [_plain_contribution(c) for c in v.contributions]]
        for signal, v in service.views.items()
    }
    return {"views": views, "heard_ns": service.heard_ns, "rate": service.rate, "stale": service.stale}


def _plain_contribution(c: Contribution) -> dict[str, Any]:
    return msgspec.structs.asdict(c)


def _world_of(plain: dict[str, Any]) -> World:
    services = {}
    for name, s in plain["services"].items():
        views = {
            signal: View(window, decades, warm, cadence, [Contribution(**c) for c in parts])
            for signal, (window, decades, warm, cadence, parts) in s["views"].items()
        }
        services[name] = Service(Episode.of(s["episode"]), views, s["heard_ns"], s["rate"], s["stale"])
    edges = [Episode.of(e) for e in plain["edges"]]
    known = {(e.service, e.peer): e for e in edges}
    return World(services, plain["newest_ns"], plain["suspended"], known, plain.get("settled_ns", 0))
