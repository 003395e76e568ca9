"""An open case: a group of anomalies on its way to become, or being, a published incident."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from contracts import features as f
from contracts.events import Candidate, Evidence, EvidenceGap, Incident
from contracts.instance_parts import ComparedInstances, name_of
from contracts.settings import DiagnoseSettings
from contracts.units import SECOND
from contracts.verdicts import CauseKind, IncidentPhase
from graph.diagnosis.assess import Assessment, Known
from graph.evidence.by_operation import worst_operation
from graph.evidence.finding import Finding
from graph.evidence.flags import the_flag
from graph.evidence.silence import ERRORS, LATENCIES, hushed
from graph.evidence.situation import Situation
from graph.grouping import Group
from graph.judgement import (
    FELT,
    HEARD_NS,
    LEADS,
    MOVED,
    OFTEN,
    OTHERWISE,
    OVERWHELMING,
    PATIENCE_LATE,
    PATIENCE_NS,
    PATIENCE_SILENT_NS,
    SERVES,
)
from graph.narrative import path_of, ruled_out, seen_in_part, story
from graph.ranking import CHANGED, Suspect, weight

MAX_CANDIDATES: Final = 8
_SILENT: Final = frozenset({CauseKind.HANG, CauseKind.CRASH, CauseKind.NODE})
"""Who doesn't answer itself calls nobody, and waits for nobody."""


@dataclass(slots=True)
class Case:
    """A group, what was last published of it, and since when its leading candidate leads."""

    group: Group
    published: Incident | None = None
    leader: str = ""
    leader_kind: CauseKind = CauseKind.UNKNOWN
    leads_since_ns: int = 0
    since_ns: int = 0
    """Onset that the published ranking looks from."""
    quiet_since_ns: int = 0
    frozen: dict[str, None] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    """What was known when it was judged last."""
    broken: bool = False
    """Whether it was said already that it can't be judged."""

    def follow(self, leader: Suspect, now_ns: int) -> None:
        """Note who leads now."""
        if (leader.name, leader.kind) != (self.leader, self.leader_kind):
            self.leader, self.leader_kind, self.leads_since_ns = leader.name, leader.kind, now_ns

    def heard(self, seen: Assessment) -> bool:
        """Whether calls are known since the onset, and those whom the leader calls."""
        return seen.calls_until_ns >= seen.situation.onset_ns and not _unheard(self.group, seen)

    def settled(self, seen: Assessment, settle_s: float) -> bool:
        """Whether the ranking is fit to act on: its leader still leads now that the calls are known as far, and those whom it
        calls, and has led for `settle_s` unless it is beyond doubt. A second of a fault shows those first who gave up first: what was changed
        says itself when, anything else is looked at for longer."""
        since_ns = max(seen.situation.onset_ns, self.leads_since_ns)
        if seen.calls_until_ns < since_ns or _unheard(self.group, seen) or _answers_due(seen) or _is_back(seen):
            return False
        looked_at = seen.leader.kind in CHANGED or seen.situation.now_ns - seen.situation.onset_ns >= HEARD_NS
        beyond_doubt = seen.leader.probability >= OVERWHELMING and looked_at and not _sick_below(seen)
        return beyond_doubt or seen.situation.now_ns - since_ns >= settle_s * SECOND


def _unheard(group: Group, seen: Assessment) -> bool:
    """Whether it is too early to blame the leader: of somebody whom it calls it is not known yet what it served since the onset.
    Whether a silent service is gone or its telemetry takes time can't be told at once; nobody is waited for longer than that, and who
    usually is late somewhat longer."""
    situation, leader = seen.situation, seen.situation.nodes[seen.leader.service]
    since_ns = _fails_since(group, situation, leader.name)
    patience_ns = PATIENCE_SILENT_NS if seen.leader.kind in _SILENT else PATIENCE_NS
    age_ns, until_ns = situation.now_ns - since_ns, min(leader.known_ns, since_ns + HEARD_NS)
    for edge in situation.out(leader.name):
        callee = situation.nodes[edge.callee]
        if edge.per_request_before <= OFTEN or not callee.own:  # those of which nothing has come may matter
            continue
        if age_ns >= patience_ns + PATIENCE_LATE * callee.late_ns:
            continue
        untold = (
            edge.in_part and f.REQUEST_RATE not in callee.shifts
        )  # whether spans or requests are missing is asked its metrics
        if untold or 0 < callee.known_ns < until_ns or 0 < edge.known_ns < until_ns:
            return True
    return False


def _fails_since(group: Group, situation: Situation, name: str) -> int:
    """Since when a service fails, by its anomalies, where something slight began before: whom it calls may be known of since that, and not yet
    since the failures."""
    told = [a for a in group.anomalies.values() if a.service == name and not a.operation]
    began = [a.time_ns - int(c.window_s * SECOND) for a in told for c in a.contributions if c.feature in ERRORS]
    return max(situation.onset_ns, min(began, default=0))


def _sick_below(seen: Assessment) -> bool:
    """Whether somebody whom the leader calls shows a symptom of its own: whose it is, the calls between them tell, and the first of
    those may be few."""
    situation = seen.situation
    below = (situation.nodes[e.callee] for e in situation.out(seen.leader.service) if e.callee != seen.leader.service)
    return any(n.own and n.strength(*ERRORS, *LATENCIES) > FELT for n in below)


def _answers_due(seen: Assessment) -> bool:
    """Whether it is too early to blame the leader: somebody whom it calls has hushed since the onset while the leader goes on serving
    others. Calls that are still out are seen only once their callers give up, and until then they look like calls that are not
    made; nobody gives up later than is waited for here."""
    situation, leader = seen.situation, seen.situation.nodes[seen.leader.service]
    if situation.now_ns - situation.onset_ns >= PATIENCE_NS or seen.leader.kind in _SILENT:
        return False
    return any(hushed(situation, edge) for edge in situation.out(leader.name))


def _is_back(seen: Assessment) -> bool:
    """Whether the leader, who is blamed for its silence since the onset, serves again: then there is nothing to act on, and whether all is well
    will be seen in a moment."""
    node = seen.situation.nodes[seen.leader.service]
    if next((x.channel for x in seen.leader.findings), "") != "silence" or node.known_ns <= seen.situation.onset_ns:
        return False
    rate = node.shifts.get(f.REQUEST_RATE)
    return rate is not None and rate.after > 0 and node.lately.get(f.REQUEST_RATE, 0.0) > SERVES * rate.before


def incident_of(
    case: Case,
    seen: Assessment,
    radius: tuple[str, ...],
    settings: DiagnoseSettings,
    gaps: Mapping[str, tuple[EvidenceGap, ...]],
) -> Incident:
    """The case as an incident event, phase opened or updated. `gaps`: what is missing in the telemetry of services."""
    leader, now_ns, before = seen.leader, seen.situation.now_ns, case.published
    shown = _shown(seen, settings.min_probability)
    changes = tuple(c for c in seen.situation.changes if c.service in leader.services)
    candidates = tuple(_candidate(s, seen, s is not leader) for s in shown)
    unseen = _gaps_of(candidates, gaps)
    told = story(seen.situation, shown, seen.severity, radius, changes, seen.broken)
    partly = seen_in_part(_gaps_of(candidates[:1], gaps))
    return Incident(
        id=case.group.id,
        environment=seen.situation.environment,
        phase=IncidentPhase.UPDATED if before else IncidentPhase.OPENED,
        severity=max(seen.severity, before.severity, key=list(type(seen.severity)).index) if before else seen.severity,
        onset_ns=before.onset_ns if before else seen.situation.onset_ns,
        time_ns=now_ns,
        revision=before.revision + 1 if before else 1,
        anomalies=tuple(case.group.anomalies),
        services=tuple(dict.fromkeys([*case.group.services, *seen.affected])),
        candidates=candidates,
        blast_radius=radius,
        confidence=round(leader.probability, 4),
        settled=case.settled(seen, settings.settle_s),
        text=f"{told} {partly}".strip(),
        changes=seen.situation.changes,
        gaps=unseen,
        since_ns=seen.situation.onset_ns,
    )


def _gaps_of(candidates: tuple[Candidate, ...], gaps: Mapping[str, tuple[EvidenceGap, ...]]) -> tuple[EvidenceGap, ...]:
    """What is missing in the telemetry of candidates and of the services on their paths, the leader's first."""
    names = dict.fromkeys(
        name for c in candidates for name in (c.service, *(p.service for p in c.path), c.peer) if name
    )
    return tuple(gap for name in names for gap in gaps.get(name, ()))


def _shown(seen: Assessment, least: float) -> list[Suspect]:
    """The leader, everybody probable enough, and the two who suffer most: a reader asks why it is not them."""
    suffering = set(seen.affected[:2])
    chosen = [s for s in seen.suspects if s is seen.leader or s.probability >= least or s.service in suffering]
    return chosen[:MAX_CANDIDATES]


def _one_path(suspect: Suspect) -> Finding | None:
    """What tells of the one path that is blamed; None where there is none, or several that begin or end at the same service."""
    told = [x for x in suspect.findings if x.peer and x.caller] if suspect.kind is CauseKind.NETWORK else []
    return told[0] if told and all(x.paths == 1 for x in told) else None


def _candidate(suspect: Suspect, seen: Assessment, rival: bool) -> Candidate:
    node = seen.situation.nodes[suspect.service]
    worst, together = worst_operation(node), node.instances or ComparedInstances(0)
    between = _one_path(suspect)
    return Candidate(
        service=suspect.service,
        kind=suspect.kind,
        probability=round(suspect.probability, 4),
        evidence=tuple(Evidence(channel=x.channel, weight=round(weight(x), 3), text=x.text) for x in suspect.findings),
        path=path_of(seen.situation, suspect),
        ruled_out=ruled_out(seen.situation, suspect, seen.leader) if rival else "",
        peer=next((x.peer for x in suspect.findings if x.peer), ""),
        operation=worst.operation if worst is not None else "",
        instances=together.known,
        instance=name_of(together.apart[0]) if together.apart is not None else "",
        alike=together.known if together.alike else 0,
        sickest=name_of(together.sickest) if together.sickest is not None else "",
        flag=the_flag(seen.situation, suspect.service) if suspect.kind is CauseKind.FLAG else None,
        caller="" if between is None else between.caller,
        callee="" if between is None else next((n for n in (suspect.service, between.peer) if n != between.caller), ""),
        node=suspect.ground.node if suspect.ground is not None else "",
        zone=suspect.ground.zone if suspect.ground is not None and not suspect.ground.node else "",
        there=suspect.there,
    )


def is_material(old: Incident, new: Incident) -> bool:
    """Whether a reader of the old event would want the new one. A path that is known further up is news, a shorter one is not; nor is
    who leads among those who hardly can be it."""
    a, b = old.candidates[0], new.candidates[0]
    return (
        ((a.service, a.kind, a.node) != (b.service, b.kind, b.node) and max(a.probability, b.probability) >= LEADS)
        or len(b.path) > len(a.path)
        or (b.operation not in ("", a.operation))
        or (a.service == b.service and (a.instance, a.alike > 0, a.flag) != (b.instance, b.alike > 0, b.flag))
        or abs(a.probability - b.probability) >= MOVED
        or old.severity is not new.severity
        or old.felt is not new.felt
        or old.settled is not new.settled
        or old.ranked_from_ns != new.ranked_from_ns
        or set(new.services) - set(old.services) != set()
        or (a.service == b.service and _shows_otherwise(a, b))
    )


def _shows_otherwise(before: Candidate, now: Candidate) -> bool:
    """Whether a cause mostly shows by what it hardly showed before: who was slow fails."""
    if not before.evidence or not now.evidence:
        return False
    first, usual = (max(c.evidence, key=lambda e: e.weight) for c in (now, before))
    was = max((e.weight for e in before.evidence if e.channel == first.channel), default=0.0)
    return first.channel != usual.channel and first.weight >= max(OTHERWISE * was, usual.weight)
