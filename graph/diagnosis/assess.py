"""Judging one group of anomalies: what it looks like now, whether it deserves to be an incident, how bad it is."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from contracts import features as f
from contracts.events import Anomaly
from contracts.units import SECOND
from contracts.verdicts import ENDED, Severity
from graph.diagnosis.severity import Promised, against_promises, nothing_promised, severity_of
from graph.evidence.finding import Finding
from graph.evidence.local import strongest
from graph.evidence.silence import ERRORS, LATENCIES, lost_traffic
from graph.evidence.situation import Node, Shift, Situation, risen
from graph.evidence.waiting import WORK, last_calls, left_undone, stuck
from graph.grouping import Group
from graph.judgement import (
    AGREE_DECADES,
    ALONE_DECADES,
    BYSTANDERS,
    BYSTANDERS_IN_ALL,
    CALLEE_HOPS,
    CALLER_HOPS,
    FELT,
    FELT_NS,
    MANY_FAILURES,
    MIN_FAILURES,
    MIN_REQUESTS,
    MIN_WINDOWS,
    ONSET_SHARE,
    OPENS_FROM,
    OVERWHELMING,
    SUFFERS_FAILURES,
    SUFFERS_FEW,
    SUFFERS_RATIO,
    SURE,
    SURE_STRENGTH,
    TOGETHER_DECADES,
    UNDONE,
)
from graph.ranking import Suspect, findings, rank
from graph.world.world import World


@dataclass(frozen=True, slots=True)
class Assessment:
    """A group at one moment."""

    situation: Situation
    suspects: tuple[Suspect, ...]
    affected: tuple[str, ...]
    """Services whose requests are slower or fail more than usual, surely enough, strongest first."""
    opens: bool
    severity: Severity
    calls_until_ns: int
    """Up to when the calls between services are known: joining callers and callees takes a moment longer."""
    undone: bool = False
    """Whether somebody suffers in a way that may never show where users come in."""
    broken: str = ""
    """What users are promised and do not get, in words."""

    @property
    def leader(self) -> Suspect:
        """The most probable cause."""
        return self.suspects[0]


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of an incident when it was judged last: who was stopped by whom, as the calls that it made last all failed there; and which
    nodes and zones were gone, by name, and how surely."""

    stopped: dict[str, str] = field(default_factory=dict)
    proven: dict[str, float] = field(default_factory=dict)


def assess(
    world: World,
    group: Group,
    onset_ns: int,
    horizon_ns: int,
    amid: AbstractSet[str] = frozenset(),
    promised: Promised = nothing_promised,
    known: Known | None = None,
) -> Assessment | None:
    """The group's situation since `onset_ns`, ranked; None while the graph knows none of its services. `amid`: services that another
    incident is about; `promised`: what users are promised of a service; `known`: what was known of it before."""
    members = [s for s in group.services if s in world.topology.services]
    if not members:
        return None
    names = world.topology.neighbourhood(members, onset_ns, CALLEE_HOPS, up=False)
    names |= world.topology.neighbourhood(members, onset_ns, CALLER_HOPS, down=False)
    names |= dict.fromkeys(_bystanders(world, members, onset_ns, names), 1)
    names |= world.log_texts.named_by(names, world.topology)
    onsets: dict[str, int] = {}
    for anomaly in group.anomalies.values():
        if anomaly.phase in ENDED and anomaly.time_ns <= onset_ns:
            continue  # of what was before
        onsets[anomaly.service] = min(anomaly.onset_ns, onsets.get(anomaly.service, anomaly.onset_ns))
    situation = world.situation(names, onset_ns, onsets, horizon_ns, amid)
    if known is not None:
        situation = replace(situation, stopped=known.stopped, proven=known.proven)
    found = findings(situation)
    affected = _affected(situation, members, found)
    suspects = rank(situation, found, harmed=bool(affected) or group.pooled)
    entries = world.topology.entries(members, onset_ns)
    undone = group.pooled or _undone(affected, found)
    severity = severity_of(situation, entries, undone, promised)
    return Assessment(
        situation,
        tuple(suspects),
        tuple(affected),
        _opens(affected, suspects[0], severity),
        severity,
        world.calls_until_ns,
        undone,
        against_promises(situation, entries, promised),
    )


def known_by(seen: Assessment) -> Known:
    """What is known by now, and can't be told again once it is too long ago to be looked at, or something was done."""
    silent = {x.service for s in seen.suspects for x in s.findings if x.channel == "silence" and x.explained_by}
    found = {name: last_calls(seen.situation, name)[1] for name in sorted(silent)}
    proven = {s.name: s.ground.share for s in seen.suspects if s.ground is not None and s.ground.gone and _proven(s)}
    kept = {name: sure for name, sure in seen.situation.proven.items() if name not in proven}
    return Known({name: by for name, by in found.items() if by}, {**kept, **proven})


def _proven(suspect: Suspect) -> bool:
    return suspect.probability >= OVERWHELMING


def _bystanders(world: World, members: list[str], onset_ns: int, known: Collection[str]) -> list[str]:
    """Who else calls those whom the members call, those that call most: whom they answer as ever tells whose fault it is that others are not."""
    topology, calls = world.topology, Counter[str]()
    for callee in topology.neighbourhood(members, onset_ns, 1, up=False):
        others = ((topology.calls[c, callee].calls, c) for c in topology.callers_at(callee, onset_ns) if c not in known)
        calls.update({caller: n for n, caller in heapq.nlargest(BYSTANDERS, others)})
    return [caller for caller, _ in calls.most_common(BYSTANDERS_IN_ALL)]


def felt_lately(
    world: World,
    group: Group,
    seen: Assessment,
    amid: AbstractSet[str] = frozenset(),
    promised: Promised = nothing_promised,
) -> Severity:
    """How bad it is for users at the moment: of a burst that has passed they feel nothing any more, though since the onset they suffered."""
    lately_ns = world.time_ns - FELT_NS
    entries = world.topology.entries([s for s in group.services if s in world.topology.services], lately_ns)
    if seen.severity is Severity.INFO or lately_ns < seen.situation.onset_ns or not entries:
        return seen.severity
    felt = severity_of(world.situation(entries, lately_ns, amid=amid), entries, False, promised)
    return Severity.WARNING if felt is Severity.INFO and _undone_lately(world, group, seen, amid) else felt


def _undone_lately(world: World, group: Group, seen: Assessment, amid: AbstractSet[str]) -> bool:
    """Whether work is left undone at the moment, as it was since the onset, or that is not known. What waits is told of too seldom to say so."""
    if not seen.undone or group.pooled:
        return seen.undone
    lately_ns = world.time_ns - FELT_NS
    nodes = [seen.situation.nodes[name] for name in seen.affected]
    waits = any(strongest(n, *WORK) is not None or stuck(n) is not None for n in nodes)
    if waits or any(n.own and n.known_ns <= lately_ns + FELT_NS // 2 for n in nodes):
        return True
    late = assess(world, group, lately_ns, 0, amid)
    return late is None or late.undone


def diagnosis_onset(group: Group) -> int:
    """Since when to look: the first onset among anomalies that matter, so that a weak early one does not dilute the rest. A mean over
    half a minute dates what it shows to half a minute ago: where a quicker one shows it to have begun within that time, that one counts."""
    anomalies = list(group.anomalies.values())
    limit = ONSET_SHARE * max(a.decades for a in anomalies)
    told = [a for a in anomalies if a.decades >= limit]
    return min(a.onset_ns for a in told if not any(_dates_better(b, a) for b in told))


def _dates_better(quick: Anomaly, slow: Anomaly) -> bool:
    """Whether the time over which one was seen lies within that of the other, which began before."""
    return slow.onset_ns < quick.onset_ns and quick.onset_ns + _window_ns(quick) <= slow.onset_ns + _window_ns(slow)


def _window_ns(anomaly: Anomaly) -> int:
    """The time over which an anomaly's means were taken, nanoseconds."""
    return int(max((c.window_s for c in anomaly.contributions), default=0.0) * SECOND)


def _affected(situation: Situation, members: Iterable[str], found: Iterable[Finding]) -> dict[str, float]:
    """Decades by service, of those whose requests surely suffer."""
    out: dict[str, float] = {}
    for name in members:
        rate = situation.nodes[name].shifts.get(f.REQUEST_RATE)
        requests = rate.after * rate.samples if rate is not None else 0.0
        decades = max((_suffering(s, requests) for s in _symptoms(situation.nodes[name], situation)), default=0.0)
        if decades >= TOGETHER_DECADES:
            out[name] = decades
        if (quiet := _ceased(situation, name)) is not None:
            out[name] = max(out.get(name, 0.0), quiet.decades)
        if (waits := left_undone(situation.nodes[name]) or stuck(situation.nodes[name])) is not None:
            out[name] = max(out.get(name, 0.0), waits.decades)
    for finding in found:
        if finding.channel in SURE and finding.strength > SURE_STRENGTH:
            out[finding.service] = max(out.get(finding.service, 0.0), SURE[finding.channel] * finding.strength)
    return dict(sorted(out.items(), key=lambda kv: (-kv[1], kv[0])))


def _ceased(situation: Situation, name: str) -> Shift | None:
    """That users, or what stands before an entry, ask it for far less than they surely would; None where they do not."""
    rate = lost_traffic(situation.nodes[name]) if not situation.into(name) else None
    return rate if rate is not None and rate.decades >= ALONE_DECADES else None


def _symptoms(node: Node, situation: Situation) -> list[Shift]:
    slow = () if node.mix.excuses else (*LATENCIES, f.LATENCY_P99)  # who is asked for something slower suffers nothing
    own = [node.shifts[n] for n in (*ERRORS, *slow) if n in node.shifts]
    calls = [
        e.shifts[n] for e in situation.into(node.name) for n in (f.CALL_LATENCY_P95, f.CALL_ERROR_RATE) if n in e.shifts
    ]
    return own + calls


def _suffering(shift: Shift, requests: float) -> float:
    if shift.feature in (*ERRORS, f.CALL_ERROR_RATE):
        failed, extra = shift.after * shift.samples, risen(shift)
        if extra > SUFFERS_FAILURES:
            return shift.decades if failed >= MIN_FAILURES else 0.0
        beyond_doubt = failed >= MANY_FAILURES and shift.decades >= ALONE_DECADES
        return shift.decades if extra > SUFFERS_FEW and beyond_doubt else 0.0
    worse = not math.isfinite(shift.before) or shift.after > SUFFERS_RATIO * shift.before
    seen = shift.samples >= MIN_WINDOWS or (shift.samples >= 2 and requests >= MIN_REQUESTS)
    return shift.decades if worse and shift.deviation > 0 and seen else 0.0


def _opens(affected: dict[str, float], leader: Suspect, severity: Severity) -> bool:
    """An incident needs somebody who suffers: one service beyond doubt, or several that agree; and a suspect, or users who feel it: why
    they do may be unknown."""
    if not affected or (leader.score < OPENS_FROM and severity is Severity.INFO):
        return False
    decades = list(affected.values())
    return decades[0] >= ALONE_DECADES or (len(decades) >= 2 and sum(decades[:3]) >= AGREE_DECADES)


def _undone(affected: Mapping[str, float], found: Iterable[Finding]) -> bool:
    """Whether somebody suffers in a way that may never show where users come in: work fails, piles up, or is not done at all. Who is
    merely slow has callers who wait, or nobody does."""
    return any(x.service in affected and x.channel in UNDONE and x.strength > FELT for x in found)
