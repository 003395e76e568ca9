"""The engine: keeps the world, groups anomalies, judges groups as event time goes on, says what is new."""

from __future__ import annotations

import logging
from collections import Counter
from typing import Final

import msgspec

from contracts.events import Anomaly, Change, EvidenceGap, Incident, TelemetryGaps
from contracts.features import Signal
from contracts.frames import EvidenceFrame
from contracts.ports import GraphWrite
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import ENDED, AnomalyKind, AnomalyPhase, IncidentPhase, ServiceState
from graph.diagnosis import memory
from graph.diagnosis.assess import Assessment, assess, diagnosis_onset, felt_lately, known_by
from graph.diagnosis.case import Case, incident_of, is_material
from graph.diagnosis.severity import Promised, nothing_promised
from graph.diagnosis.writes import anomaly_row, change_row, incident_writes, key, topology_writes
from graph.grouping import Group, felt, incident_id, lasting, place, slight
from graph.judgement import AHEAD_NS, LATELY_NS, LIKELY, OPENS_FROM, SAME_CAUSE, YOUNG_NS
from graph.world.world import World

log = logging.getLogger(__name__)
COUNTS_S: Final = 5
"""How often the graph is told how many calls there were; a new service is told of within a second."""
MAX_GAPS: Final = 10_000
"""Services with gaps that are kept; beyond it those told of longest ago are forgotten."""
_FORGOTTEN: Final = 6
"""Times the quiet that ends an incident after which an anomaly that is no longer told of is over."""
MAX_PENDING: Final = 500
"""Groups kept that are not incidents; beyond it the oldest is forgotten."""


class DiagnosisEngine:
    """Diagnosis of one environment. Event-time driven: frames move the time, `tick` says what follows from it."""

    def __init__(self, environment: str, settings: DiagnoseSettings, promised: Promised = nothing_promised) -> None:
        self.environment = environment
        self._promised = promised
        self.settings = settings
        self.world = World(environment)
        self.counters: Counter[str] = Counter()
        self._cases: dict[str, Case] = {}
        self._bad: dict[str, int] = {}
        self._gaps: dict[str, tuple[EvidenceGap, ...]] = {}
        """What is missing in the telemetry of services, as whoever judges that has told it."""
        self._anomalies: dict[str, Anomaly] = {}
        self._absorbed: list[Incident] = []
        self._outlived: dict[str, int] = {}
        """When the incident of an anomaly that goes on was over: from then on it is compared, if users suffer again."""
        self._judged_ns = -1
        self._dirty = self._heard = False
        self._written_s = -1

    @property
    def busy(self) -> bool:
        """Whether an incident was told of that is not over."""
        return any(case.published is not None for case in self._cases.values())

    def evidence(self, frame: EvidenceFrame, now_ns: int) -> None:
        """Take one window of evidence in."""
        self.world.take(frame)
        self._heard = True
        self.counters["evidence_frames"] += 1
        for name, state in zip(frame.services, frame.state, strict=True):
            if state in (ServiceState.ANOMALOUS, ServiceState.STALE):  # what can't be seen has not ended
                self._bad[name] = max(self._bad.get(name, 0), frame.window_ns)

    def change(self, event: Change, now_ns: int) -> None:
        """Take a change in."""
        self.world.change(event)
        self.counters["changes"] += 1
        self._dirty = True

    def gaps(self, event: TelemetryGaps, now_ns: int) -> None:
        """Take in what is missing in the telemetry of a service."""
        self.counters["telemetry_gaps"] += 1
        self._gaps.pop(event.service, None)
        if event.gaps:
            if len(self._gaps) >= MAX_GAPS:
                self._gaps.pop(next(iter(self._gaps)))
            self._gaps[event.service] = event.gaps

    def anomaly(self, event: Anomaly, now_ns: int) -> None:
        """Take one phase of an anomaly in: it joins the case it belongs to, or starts one."""
        self.counters["anomalies"] += 1
        if event.kind is not AnomalyKind.SERVICE:
            return  # nothing is known of the services: no incident of theirs follows from it
        if event.phase is AnomalyPhase.ADOPTED and event.id not in self._anomalies:
            return  # a level that nobody felt was taken for normal: it is part of nothing
        self._anomalies[event.id] = event
        self._dirty = True
        if event.phase in ENDED:
            self._outlived.pop(event.id, None)
        elif event.id in self._outlived:
            if not felt(event) or slight(event):
                return  # of an incident that is over; it starts none by itself
            since_ns = max(event.onset_ns, self._outlived[event.id])
            event = msgspec.structs.replace(event, onset_ns=since_ns)
        if event.operation:
            self.world.operation(event)
        for name in (event.service, event.peer):
            if name:
                # An operation may be a database's, which sends nothing itself.
                self.world.topology.see(name, event.onset_ns, own=name == event.service and not event.operation)
        groups = {i: c.group for i, c in self._cases.items()}
        window_ns = int(self.settings.group_window_s * SECOND)
        home, others = place(groups, event, self._distance, self.settings.group_hops, window_ns)
        if home is None:
            if event.phase in ENDED:
                return
            home = Group(incident_id(self.environment, event.onset_ns, event.service), event.onset_ns, event.service)
            self._cases[home.id] = Case(home)
            self._forget_oldest()
        home.add(event)
        self._absorb(home, others)

    def _distance(self, a: str, b: str) -> int | None:
        return self.world.topology.distance(a, b, self.world.time_ns, self.settings.group_hops)

    def _absorb(self, home: Group, others: list[Group]) -> None:
        """Merge groups that turned out to belong together; a published incident is kept in preference to a pending group."""
        if not others:
            return
        groups = sorted([home, *others], key=lambda g: (self._cases[g.id].published is None, g.onset_ns, g.id))
        kept = self._cases[groups[0].id]
        for group in groups[1:]:
            case = self._cases.pop(group.id)
            for anomaly in group.anomalies.values():
                kept.group.add(anomaly)
            kept.frozen |= case.frozen
            if case.published is not None:
                text = f"Part of incident {kept.group.id}."
                self._absorbed.append(self._resolved(case.published, text))

    def _forget_oldest(self) -> None:
        pending = [c for c in self._cases.values() if c.published is None]
        if len(pending) > MAX_PENDING:
            self._drop(min(pending, key=lambda c: (c.group.onset_ns, c.group.id)))
            self.counters["cases_forgotten"] += 1

    def tick(self, now_ns: int) -> list[Incident | GraphWrite]:
        """Incidents opened, updated and resolved since the last tick, and what to write to the graph."""
        left = self._make_room()
        writes = [*self._topology_writes(), *left]
        if self.world.new_changes:
            writes.append(GraphWrite("upsert_changes", tuple(change_row(c) for c in self.world.new_changes)))
            self.world.new_changes = []
        if self._anomalies:
            writes.append(GraphWrite("upsert_anomalies", tuple(anomaly_row(a) for a in self._anomalies.values())))
            self._anomalies = {}
        incidents, self._absorbed = self._absorbed, []
        for case in self._due():
            if self._cases.get(case.group.id) is case:  # it may have become part of one that was judged before it
                incidents += self._judged(case)
        out: list[Incident | GraphWrite] = list(writes)
        for incident in incidents:
            self.counters[f"incidents_{incident.phase.value}"] += 1
            out += [incident, *incident_writes(incident)]
        return out

    def _due(self) -> list[Case]:
        """Cases to be judged now: all of them with each window, and young ones with whatever comes of it later than its first rows."""
        cases, heard = list(self._cases.values()), self._heard
        self._heard = False
        if self._dirty or self.world.time_ns > self._judged_ns:
            self._dirty, self._judged_ns = False, self.world.time_ns
            return cases
        return [c for c in cases if heard and self.world.time_ns - c.group.onset_ns <= YOUNG_NS]

    def _make_room(self) -> list[GraphWrite]:
        """Forget services that are least of use where there are too many, but none that some case is about; the graph forgets those
        of which it has nothing to tell."""
        involved = {name for case in self._cases.values() for name in (*case.group.services, *case.frozen)}
        gone = self.world.make_room(involved)
        for name in gone:
            self._bad.pop(name, None)
        self.counters["services_left"] += len(gone)
        self.counters["alias_left"] = self.world.aliases.left
        rows = tuple({"key": key(self.environment, name), "last_seen": last_ns} for name, last_ns in gone.items())
        return [GraphWrite("forget_services", rows)] if rows else []

    def _topology_writes(self) -> list[GraphWrite]:
        second, topology = self.world.time_ns // SECOND, self.world.topology
        news = topology.new_calls or topology.changed_services
        if not news and second - self._written_s < COUNTS_S:
            return []
        self._written_s = second
        return topology_writes(self.environment, self.world.topology, self.world.time_ns)

    def _judged(self, case: Case) -> list[Incident]:
        """What is to be published of a case. One that can't be judged stays as it is, and holds up no other."""
        try:
            return self._judge(case)
        except Exception:
            self.counters["judgements_failed"] += 1
            if not case.broken:
                case.broken = True
                log.exception("%s of %s can't be judged", case.group.id, self.environment)
            return []

    def _judge(self, case: Case) -> list[Incident]:
        if self._is_over(case):
            self._drop(case)
            return [self._resolved(case.published)] if case.published is not None else []
        if case.published is None and self._is_ahead(case):
            return []
        seen = self._assess(case)
        if seen is None or self._is_half_heard(case, seen):
            return []
        if case.published is None and not (seen.opens or case.group.pooled):
            return []
        if case.published is None and self._belongs_elsewhere(case, seen):
            return []
        if case.published is not None and (twin := self._twin(case, seen)) is not None:
            self._unite(case, twin, seen)
            return []
        case.since_ns = seen.situation.onset_ns
        self._freeze(case, seen)
        case.follow(seen.leader, self.world.time_ns)
        upstream = self.world.topology.upstream
        radius = tuple(dict.fromkeys(n for s in seen.leader.services for n in upstream(s, seen.situation.onset_ns)))
        incident = incident_of(case, seen, radius, self.settings, self._gaps)
        felt_now = felt_lately(self.world, case.group, seen, self._amid(case), self._promised)
        incident = msgspec.structs.replace(incident, felt=felt_now)
        if case.published is not None and not is_material(case.published, incident):
            return []
        case.published = incident
        return [incident]

    def _is_ahead(self, case: Case) -> bool:
        """Whether all of its anomalies opened by what had come so far of a window of which the evidence is still to come."""
        on, now_ns = case.group.open, self.world.time_ns
        known = self.world.series[Signal.SPANS].heard({a.service for a in on})
        return bool(on) and all(
            a.early and a.service in known and known[a.service][0] <= a.time_ns and now_ns - a.time_ns <= AHEAD_NS
            for a in on
        )

    def _is_half_heard(self, case: Case, seen: Assessment) -> bool:
        """Whether so little of the newest windows is there yet that a story of today would be another in a moment: of a young case nothing is told
        while spans are known of that the calls between services are not, or while some whom the leader calls are still to be heard."""
        if self.world.time_ns - seen.situation.onset_ns > AHEAD_NS or case.group.pooled:
            return False
        calls_ns = self.world.calls_until_ns
        return 0 < calls_ns < self.world.time_ns or not case.heard(seen)

    def _assess(self, case: Case) -> Assessment | None:
        """The case since its onset; while it is old and still pending also since a moment ago, whichever tells more: a fault may
        set in where something harmless had been unusual for long."""
        horizon_ns = int(self.settings.change_horizon_s * SECOND)
        onset_ns = case.since_ns or diagnosis_onset(case.group)
        if onset_ns > self.world.time_ns:
            return (
                None  # anomalies came before the evidence that they were found in: of what was before nothing follows
            )
        amid = self._amid(case)
        seen = assess(self.world, case.group, onset_ns, horizon_ns, amid, self._promised, case.known)
        case.known = case.known if seen is None else known_by(seen)
        lately_ns = self.world.time_ns - LATELY_NS
        if seen is None or case.published is not None or lately_ns - onset_ns < LATELY_NS // 2:
            return seen
        late = assess(self.world, case.group, lately_ns, horizon_ns, amid, self._promised, case.known)
        return late if late is not None and late.leader.score > seen.leader.score else seen

    def _amid(self, case: Case) -> set[str]:
        """Services that other incidents are about."""
        others = (c for c in self._cases.values() if c is not case and c.published is not None)
        return {name for c in others for name in c.frozen}

    def _belongs_elsewhere(self, case: Case, seen: Assessment) -> bool:
        """Join a case about to open to an open incident with the same culprit, or one that all who suffer belong to while nobody shows a trouble
        of its own: a fault whose symptoms spread slowly."""
        weak = seen.leader.score < OPENS_FROM  # who leads by that little is chance
        likely = {s.name for s in seen.suspects[:2] if not weak and s.score >= SAME_CAUSE * seen.leader.score}
        for other in self._cases.values():
            if other.published is None:
                continue
            aftermath = weak and set(seen.affected) <= {*other.group.services, *other.frozen}
            if other.leader in likely or aftermath:
                self._absorb(other.group, [case.group])
                return True
        return False

    def _twin(self, case: Case, seen: Assessment) -> Case | None:
        """Another open incident with the same culprit, where both are fairly sure of it: one failure is one incident."""
        if seen.leader.probability < LIKELY:
            return None
        others = (c for c in self._cases.values() if c is not case and c.published is not None)
        return next(
            (c for c in others if c.leader == seen.leader.name and c.published and c.published.confidence >= LIKELY),
            None,
        )

    def _unite(self, case: Case, twin: Case, seen: Assessment) -> None:
        """One incident of two, looked at from the onset of the surer one: what befell the culprit just before that is no part of a longer story."""
        surer = twin.published is not None and twin.published.confidence > seen.leader.probability
        since_ns = twin.since_ns if surer else seen.situation.onset_ns
        self._absorb(case.group, [twin.group])
        next(c for c in (case, twin) if self._cases.get(c.group.id) is c).since_ns = since_ns

    def _freeze(self, case: Case, seen: Assessment) -> None:
        names = [*seen.affected, *seen.leader.services]
        fresh = {n: None for n in names if n not in case.frozen}
        if fresh:
            case.frozen |= fresh
            self.world.freeze(fresh, seen.situation.onset_ns)

    def _is_over(self, case: Case) -> bool:
        """Whether nobody has suffered for long enough. An incident is about users: a resource that stays at another level, a log that goes on,
        what takes a little longer, or has taken longer for a while and hurts nobody, keeps none open."""
        quiet_ns = int(self.settings.resolve_s * SECOND)
        now_ns = self.world.time_ns
        # An anomaly whose end was never told (its detector restarted) ends when its service has long looked well.
        on = [
            a for a in case.group.open if now_ns - max(a.time_ns, self._bad.get(a.service, 0)) < _FORGOTTEN * quiet_ns
        ]
        if any(felt(a) and not slight(a) and not lasting(a, now_ns) for a in on) or (
            on and (case.published is None or self._suffers_lately(case, quiet_ns))
        ):
            self._begins_anew(case, on)
            return False
        if not case.quiet_since_ns:
            last_ns = max((a.time_ns for a in case.group.anomalies.values() if felt(a)), default=case.group.last_ns)
            case.quiet_since_ns = max(last_ns, 1)
        return now_ns - case.quiet_since_ns >= quiet_ns

    def _suffers_lately(self, case: Case, lately_ns: int) -> bool:
        """Whether users still suffer, or whether that is not known."""
        horizon_ns = int(self.settings.change_horizon_s * SECOND)
        seen = assess(self.world, case.group, self.world.time_ns - lately_ns, horizon_ns, self._amid(case))
        return seen is None or bool(seen.affected)

    @staticmethod
    def _begins_anew(case: Case, on: list[Anomaly]) -> None:
        """Harm that returns after a pause is compared with when it returned: what was between would dilute it."""
        if case.quiet_since_ns and case.published is not None:
            returned = [a.onset_ns for a in on if felt(a) and a.onset_ns > case.quiet_since_ns]
            case.since_ns = min(returned, default=case.since_ns)
        case.quiet_since_ns = 0

    def _drop(self, case: Case) -> None:
        self._cases.pop(case.group.id, None)
        if case.published is not None:
            self._outlived |= {a.id: self.world.time_ns for a in case.group.open}
        held = {n for c in self._cases.values() for n in c.frozen}
        self.world.thaw([n for n in case.frozen if n not in held])

    def _resolved(self, last: Incident, text: str = "") -> Incident:
        seconds = (self.world.time_ns - last.onset_ns) / SECOND
        said = (
            text
            or f"Over after {seconds:.0f} s: all anomalies closed and quiet for {self.settings.resolve_s:.0f} s. {last.text}"
        )
        return msgspec.structs.replace(
            last, phase=IncidentPhase.RESOLVED, time_ns=self.world.time_ns, revision=last.revision + 1, text=said
        )

    def snapshot(self) -> bytes:
        """The whole state: `restore(snapshot())` goes on identically."""
        return memory.dump(
            self.world,
            {
                "cases": list(self._cases.values()),
                "bad": self._bad,
                "gaps": self._gaps,
                "anomalies": self._anomalies,
                "absorbed": self._absorbed,
                "outlived": self._outlived,
                "judged_ns": self._judged_ns,
                "dirty": self._dirty,
                "written_s": self._written_s,
                "counters": dict(self.counters),
            },
        )

    def restore(self, state: bytes) -> None:
        """Take a snapshot's state.

        Raises:
            UnreadableEvent: not a snapshot of this engine, or of a newer version.
        """
        saved = memory.load(self.world, state)
        self._cases = {c.group.id: c for c in saved.cases}
        self._bad, self._anomalies, self._absorbed = saved.bad, saved.anomalies, saved.absorbed
        self._gaps = saved.gaps
        self._outlived = saved.outlived
        self._judged_ns, self._dirty, self._written_s = saved.judged_ns, saved.dirty, saved.written_s
        self._heard = True
        self.counters = Counter(saved.counters)
