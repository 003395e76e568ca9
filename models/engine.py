"""Detection of one partition: feature frames in, evidence frames and anomaly events out.

Frame by frame: ask every detector, fuse their p-values, combine a service's signals, bound false discoveries over all
services, and step each service's episode. What users feel opens anomalies; what a service does to itself is evidence beside it. Who is
silent is said by the frames (`contracts.frames.Presence`): a quiet row is a window without requests, a missing row makes a service
stale and says nothing more. Event time decides; the clock only tells what is stale. Deterministic: the same frames and times give the
same events. State is held in arrays (`models.ledger`); objects are made for services that have something to say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np

from contracts.errors import UnknownName
from contracts.events import Adoption, Anomaly, Contribution
from contracts.events.telemetry import anomaly_id
from contracts.features import (
    COUNT_OF,
    CPU,
    CPU_CORES,
    FEATURES,
    NETWORK_GAP,
    NETWORK_IO,
    OPERATION_SUMS,
    TRAFFIC,
    FeatureKind,
    Signal,
)
from contracts.frames.decoded import B1, F64
from contracts.frames.feature_frame import EvidenceFrame, FeatureFrame
from contracts.plugins import NO_SECTIONS, PluginSections
from contracts.ports.detecting import Detector, ForgetsEnvironments, Scores, SeriesKey
from contracts.settings import DetectSettings
from contracts.units import SECOND
from contracts.verdicts import AdoptionVerdict, AnomalyPhase, ServiceState
from models import snapshots, wording
from models.adoption import Adopting, Former, against, remembered
from models.contributions import contributions, shared
from models.detectors import create
from models.engine_state import LAYERS, SPANS, EngineState, LevelShift, Reasons
from models.episodes import Episode, WindowEvidence
from models.forecast import Forecast, rising
from models.fusion import Fusion, leading
from models.harm import harms, objective_of
from models.judgement import (
    BROKEN_DECADES,
    CADENCES,
    EDGE_SPEAKS,
    HARM_DECADES,
    LEAST_P,
    LOAD_WEIGHT,
    LOUD,
    ONSET_NS,
    SATURATED_DECADES,
    SHIFT_FORGOTTEN_NS,
    SPEAKS,
    TREND_DECADES,
    TREND_LASTS,
)
from models.ledger import ANOMALOUS, NAMES, STALE, STATES, EpisodeSteps, Ledger, RowEvidence, Rows
from models.low_traffic.latency import POOLED, pool_contribution, pool_of, with_pool
from models.low_traffic.watch import LowTraffic
from models.operation_watch import OperationWatch
from models.saturation import saturated_rows, saturation
from models.service.pooled import Pool, Pooled

VERSION: Final = 2
FOLLOWS_LOAD: Final = frozenset({CPU, CPU_CORES, NETWORK_IO})
"""What is expected in proportion to the load."""


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
        """By environment."""

    def observe(self, frame: FeatureFrame, now_ns: int) -> tuple[EvidenceFrame, list[Anomaly]]:
        """Judge one frame. The evidence has the frame's rows.

        Raises:
            UnknownName: the frame has a column that is not a feature, or a signal that is none.
        """
        Signal(frame.signal)
        world = self._world(frame.environment)
        learn = world.may_learn(frame.services, frame.peers, frame.window_ns)
        scores = [d.update(frame, learn) for d in self.detectors]
        lead = scores[self._lead]
        others = {d.name: s for d, s in zip(self.detectors, scores, strict=True) if s is not lead}
        p, opening, lasting = self._fused(frame, lead, others)
        pool = pool_of(self._pools, frame, learn)
        if pool is not None:
            p, opening, lasting = (with_pool(frame, lead, x, pool) for x in (p, opening, lasting))
        low_traffic = self._low_traffic_of(frame.environment)
        pooled = low_traffic.observe(frame, pool, learn)
        for anomaly in pooled:
            if anomaly.phase is AnomalyPhase.OPENED:
                self.fusion.opened(anomaly.environment, anomaly.service, anomaly.time_ns)
        if frame.signal == Signal.EDGES:
            told = self._judge_edges(world, frame, lead, p, now_ns)
            return _evidence(frame, lead, p, _edge_states(frame, lead, p, self.settings)), told + pooled
        anomalies = self._judge(world, frame, (lead, pool), (p, opening, lasting), now_ns)
        return _evidence(frame, lead, p, self._row_states(world, frame, low_traffic)), anomalies + pooled

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
        return known.observe(frame, world.may_learn(frame.services, frame.peers, frame.window_ns))

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
            for key in [key for key in world.formers if key[0] == name]:
                self._rebase(adoption.environment, key, _levels_of(world.formers.pop(key)))
            return []
        world.refused.pop(name, None)
        self.fusion.refuted(adoption.environment, name)
        told = []
        for ledger in (world.services, world.edges):
            for row, episode in list(ledger.episodes.items()):
                if episode.service == name and episode.adopting.levels():
                    told.append(self._adopt(world, (ledger, row), episode.last_ns, adoption.by))
        at = world.services.slots.find(name, "")
        shift = world.shifts.get(at) if at is not None else None
        if at is not None and shift is not None and shift.adopting.levels():
            told.append(self._adopt_shift(world, at, shift.loud_ns, adoption.by))
        return told

    def snapshot(self) -> bytes:
        """The whole state, detectors included."""
        body = {
            "detectors": {d.name: d.snapshot() for d in self.detectors},
            "fusion": self.fusion.plain(),
            "worlds": {name: world.plain() for name, world in self._states.items()},
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
        self.fusion = Fusion.of(body.get("fusion", {}))
        worlds = (
            body["worlds"] if "fusion" in body else {}
        )  # before, they were kept otherwise: known again in a few windows
        self._states = {name: EngineState.of(name, plain) for name, plain in worlds.items()}
        self._pools = {(e, s): Pooled.of(p) for e, s, p in body.get("pools", [])}
        adopt_after_ns = int(self.settings.adopt_after_s * SECOND)
        known = (LowTraffic.of(plain, adopt_after_ns) for plain in body.get("low_traffic", []))
        self._low_traffic = {low_traffic.environment: low_traffic for low_traffic in known}
        watches = (OperationWatch.of(plain) for plain in body.get("operations", []))
        self._operations = {watch.environment: watch for watch in watches}

    def _judge(
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
        broken = world.promises.take(self.settings, rows, frame, ledger.slots.keys)
        said, saturated = self._said(world, rows, frame, (lead, broken), ps)
        steps = ledger.step(layer, rows, frame, said, settled | saturated, self.settings)
        ledger.see(layer, rows, frame, said.every, lead.warm)
        _weigh(ledger, rows, frame, lead)
        loud = (said.every >= LOUD) & ~frame.missing
        for i in np.flatnonzero(loud | ledger.open[rows]).tolist():
            self._reason(world, frame, opinion, (i, int(rows[i])), (bool(saturated[i]), broken.get(i, [])))
        late = max(0, now_ns - frame.window_ns - frame.width_ns)

        def look(i: int) -> WindowEvidence:
            parts = shared(world.merged(int(rows[i]), frame.window_ns))
            text = wording.foreseen(world.foreseen(int(rows[i]), frame.signal), parts)
            return WindowEvidence(frame.signal, frame.window_ns, float(steps.decades[i]), parts, late, text)

        told = self._tell(world, (ledger, rows), frame, steps, look, self._agreed(world, frame, steps.flagged))
        told += self._shift(world, rows, frame, loud)
        if self.fusion.claims:
            self.fusion.settle(frame.environment, frame.window_ns)
        return told

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
        (ledger, rows), told = where, []
        for i in (*steps.opens.tolist(), *agreed):
            found = look(i)
            if not _known_of_old(world, ledger.slots.keys[int(rows[i])], found):
                told += self._open(world, (ledger, int(rows[i])), found)
        for i in steps.goes_on.tolist():
            told += ledger.episodes[int(rows[i])].update(look(i), self._model)
        for i in steps.ends.tolist():
            told.append(self._end(ledger, int(rows[i]), look(i), ServiceState.HEALTHY))
        for i in steps.dries_up.tolist():
            text = "no more requests come: whether it is well can't be told"
            told.append(self._end(ledger, int(rows[i]), look(i), ServiceState.STALE, text))
        if ledger.episodes:
            for i in np.flatnonzero(ledger.open[rows] & ~frame.missing).tolist():
                told += self._follow(world, (ledger, int(rows[i])), frame, i)
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

    @staticmethod
    def _agreed(world: EngineState, frame: FeatureFrame, flagged: Rows) -> list[int]:
        """Rows that are suspicious for the first time, while one that calls them or that they call is so in the same window: two
        that agree are as good as a second window."""
        if not len(flagged) or not len(world.edges):
            return []
        found = []
        for i in flagged.tolist():
            others = world.neighbours(frame.services[i])
            if len(others) and bool(world.services.near(others, frame.window_ns).any()):
                found.append(i)
        return found

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
            self.fusion.opened(environment, service, look.window_ns)
        return [told]

    def _end(self, ledger: Ledger, row: int, look: WindowEvidence, state: ServiceState, text: str = "") -> Anomaly:
        told = ledger.episodes[row].end(look, state, self._model, text)
        ledger.end(row, state, look.window_ns)
        return told

    def _judge_edges(self, world: EngineState, frame: FeatureFrame, lead: Scores, p: F64, now_ns: int) -> list[Anomaly]:
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
        steps = ledger.step(0, rows, frame, said, settled, self.settings)
        ledger.see(0, rows, frame, every, lead.warm)
        late = max(0, now_ns - frame.window_ns - frame.width_ns)

        def look(i: int) -> WindowEvidence:
            parts = shared(contributions(frame, lead, i, frame.width_ns))
            return WindowEvidence(frame.signal, frame.window_ns, float(decades[i]), parts, late)

        return self._tell(world, (ledger, rows), frame, steps, look)

    def _follow(self, world: EngineState, where: tuple[Ledger, int], frame: FeatureFrame, i: int) -> list[Anomaly]:
        """Follow what departs in an open episode, and end it by adoption where that harms nobody and has settled."""
        ledger, row = where
        episode = ledger.episodes[row]
        adopting, name = episode.adopting, episode.service
        _take(adopting, frame, i)
        if ledger is world.services:
            _foresee(world, row, adopting, frame)
        objective = objective_of(self.settings, frame.environment, name)
        parts = world.merged(row, frame.window_ns) if ledger is world.services else []
        sure = [part for part in parts if abs(part.decades) >= HARM_DECADES]
        formers = world.formers.get((name, episode.peer), {})
        if any(harms(against(p, formers), self.settings, objective) for p in (*sure, *adopting.parts())):
            adopting.harmed_ns = max(adopting.harmed_ns, frame.window_ns)
        due = adopting.ready(frame.window_ns, int(self.settings.adopt_after_s * SECOND))
        due |= adopting.returned(frame.window_ns, formers)
        climbs = ledger is world.services and world.climbs(row, frame.window_ns)
        if not due or climbs or name in world.refused:
            return []
        return [self._adopt(world, where, frame.window_ns, wording.OURSELVES)]

    def _adopt(self, world: EngineState, where: tuple[Ledger, int], window_ns: int, by: str) -> Anomaly:
        """Take the levels of an episode for normal, and remember those from before."""
        ledger, row = where
        episode = ledger.episodes[row]
        key, adopting = (episode.service, episode.peer), episode.adopting
        before = self._rebase(episode.environment, key, adopting.levels())
        world.formers[key] = remembered(world.formers.get(key, {}), adopting.formers(before, window_ns))
        ledger.end(row, ServiceState.HEALTHY, window_ns)
        return episode.adopt(window_ns, self._model, by, wording.adopted(adopting.parts(), by))

    def _shift(self, world: EngineState, rows: Rows, frame: FeatureFrame, loud: B1) -> list[Anomaly]:
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
        objective = objective_of(self.settings, frame.environment, name)
        formers = world.formers.get((name, ""), {})
        if any(harms(against(p, formers), self.settings, objective, at_work=False) for p in adopting.parts()):
            adopting.harmed_ns = max(adopting.harmed_ns, frame.window_ns)
        due = adopting.ready(frame.window_ns, int(self.settings.adopt_after_s * SECOND), growing=False)
        due |= adopting.returned(frame.window_ns, formers)
        if not due or name in world.refused or world.climbs(row, frame.window_ns):
            return []
        return [self._adopt_shift(world, row, frame.window_ns, wording.OURSELVES)]

    def _adopt_shift(self, world: EngineState, row: int, window_ns: int, by: str) -> Anomaly:
        """Take the levels of a departure that opened nothing for normal, as an event."""
        adopting, key = world.shifts.pop(row).adopting, world.services.slots.keys[row]
        before = self._rebase(world.environment, key, adopting.levels())
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
            for i, detector in enumerate(self.detectors):
                known = detector.rebase(SeriesKey(environment, signal, *key), some)
                before |= known if i == self._lead else {}
            pool, pooled = self._pools.get((environment, signal)), POOLED.get(signal)
            if pool is not None and pooled in some:
                pool.rebase(*key, some[pooled])
        return before


def _state(state: ServiceState, troubled: bool) -> ServiceState:
    """A service's state; `troubled`: pooled over a longer time, what it does is an anomaly."""
    return ServiceState.ANOMALOUS if troubled and state is not ServiceState.STALE else state


def _warm(lead: Scores, p: F64) -> F64:
    """P-values of rows that may be judged; 1 of the others."""
    found: F64 = np.where(lead.warm, p, 1.0)
    return found


def _foresee(world: EngineState, row: int, adopting: Adopting, frame: FeatureFrame) -> None:
    """Whether a resource that departs climbs towards its limit."""
    for feature, course in adopting.courses.items():
        if course.signal == frame.signal and feature != CPU and FEATURES[feature].kind is FeatureKind.UTILIZATION:
            forecast = rising(course.starts, course.means(), feature, (course.low, course.high))
            if forecast is not None:
                world.note_forecast(row, frame, forecast, TREND_LASTS * max(course.width_ns, frame.width_ns))


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


def _take(adopting: Adopting, frame: FeatureFrame, i: int) -> None:
    """Follow the courses of what departs."""
    for feature, course in adopting.courses.items():
        j = frame.features.index(feature) if course.signal == frame.signal and feature in frame.features else -1
        if j >= 0 and np.isfinite(frame.values[i, j]):
            course.take(frame.window_ns, float(frame.values[i, j]))


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
