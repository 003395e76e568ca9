"""What callers see of their calls and the callee, which serves, does not show: calls that fail, or are waited for, between two services.

They were refused, or never arrived (a certificate, a name, a policy, a proxy, a broken link); or they arrived and were never answered, as
by an instance that hangs, whose requests are in no statistics of the callee's. What the callee accounts for of its callers' symptoms is
not its own then, so somebody has to be blamed for the rest: the end at which the larger part of the calls are amiss.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.explained import Muted, calls_per_request
from graph.evidence.finding import Finding
from graph.evidence.local import strongest
from graph.evidence.silence import ERRORS, LATENCIES, TAILS, missing_z
from graph.evidence.situation import Edge, Node, Shift, Situation, risen
from graph.evidence.waiting import stuck
from graph.evidence.ways import (
    answers_others,
    by_chance,
    enough_calls,
    given_up,
    how_sure,
    in_doubt,
    losing_calls,
    lost,
    serves_all_the_same,
)
from graph.evidence.words import change
from graph.judgement import (
    ALONE_SURE,
    AMISS_BETWEEN,
    CALLER_LEAST,
    ERRORS_ENOUGH,
    FAST,
    HEARD_NS,
    INSTANCE_SHARE,
    LEAST_DISTRESS,
    LOSSY_LEAST,
    MIN_REQUESTS,
    REPLACED_NS,
    REPLACED_PATIENCE_NS,
    REPLACES,
    SERVES,
    SILENCE_WEIGHT,
    SILENT_FROM,
    SLOWER,
    SLOWEST,
    TOLD_ELSEWHERE,
    WAY_LOST,
)


class Amiss(NamedTuple):
    """What is amiss with calls along an edge of which the callee shows nothing: how strongly, by which mechanism, in words."""

    strength: float
    kind: CauseKind
    text: str


def between(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """Each service whose calls are amiss on the way, and whose other end covers less of it."""
    amiss = {key: a for key, e in situation.edges.items() if (a := _on_the_way(situation, e, muted)) is not None}
    blamed: dict[str, list[Edge]] = {}
    for caller, callee in amiss:
        into, out = (
            _covered(situation, situation.into(callee), amiss),
            _covered(situation, situation.out(caller), amiss),
        )
        hurt = [e for e in situation.into(callee) if (e.caller, callee) in amiss]
        if by_chance(situation, callee, hurt):  # that others' calls are fine says little
            into = max(into, _covered(situation, hurt, amiss))
        blamed.setdefault(caller if out > into else callee, []).append(situation.edges[caller, callee])
    for name, edges in blamed.items():
        worst = max(edges, key=lambda e: (amiss[e.caller, e.callee].strength, e.caller, e.callee))
        peer = worst.caller if worst.callee == name else worst.callee
        strength, kind, text = amiss[worst.caller, worst.callee]
        if len(edges) > 1:
            text += f"; so do {len(edges) - 1} more of the calls of {name}"
        mechanism = _mechanism(situation, name, edges, kind)
        sure = _sure(situation, edges, mechanism)
        if mechanism is CauseKind.HANG and worst.callee == name and _by_one_caller(situation, edges):
            mechanism, sure = _way_or_instance(situation.nodes[name], sure)
        yield Finding(
            name, "network", strength, text, mechanism, peer=peer, caller=worst.caller, sure=sure, paths=len(edges)
        )


def _sure(situation: Situation, amiss: list[Edge], mechanism: CauseKind) -> float:
    """How sure a mechanism is of all that calls to one service may be lost by."""
    callee = amiss[0].callee
    if any(e.callee != callee for e in amiss) or mechanism not in (CauseKind.NETWORK, CauseKind.HANG, CauseKind.CRASH):
        return 1.0
    return how_sure(situation, callee, amiss, mechanism is CauseKind.NETWORK)


def _mechanism(situation: Situation, name: str, amiss: list[Edge], kind: CauseKind) -> CauseKind:
    """What it is called: at the caller's end its calls are slow, or get no answer; what befalls all callers befalls the callee, part of which hangs where
    they wait in vain, or is gone where they are refused (of one caller's calls that may be the way to it)."""
    losing = losing_calls(amiss) or amiss
    if kind in (CauseKind.CRASH, CauseKind.HANG):
        to = {e.callee: [x for x in losing if x.callee == e.callee] for e in losing}
        if all(answers_others(situation, c, x) or serves_all_the_same(situation, c, x) for c, x in to.items()):
            return CauseKind.NETWORK
    if amiss[0].caller == name:
        return CauseKind.NETWORK if kind in (CauseKind.NETWORK, CauseKind.CRASH) else CauseKind.LATENCY
    known = (e for e in situation.into(name) if e.made > 0.0 and not in_doubt(situation, e))
    alone = len(losing) < len({e.caller for e in (*known, *losing)})
    if kind is not CauseKind.NETWORK or (alone and not by_chance(situation, name, amiss)):
        return kind
    failing = [e for e in amiss if e.strength(f.CALL_ERROR_RATE) > CALLER_LEAST]
    if not failing and len(amiss) > 1 and any(situation.nodes[e.caller].strength(*LATENCIES) > FAST for e in amiss):
        return CauseKind.HANG  # calls that nobody answered are in no statistics of calls: who waited for them is slow
    if not failing and sum(e.made for e in amiss) < MIN_REQUESTS and any(map(given_up, amiss)):
        return CauseKind.HANG  # of more calls some would have failed
    # Of messages it is not known how long they wait.
    waits = any(e.strength(f.CALL_LATENCY_P95) > FAST or f.CALL_LATENCY_P95 not in e.shifts for e in failing)
    served = situation.nodes[name].shifts[f.REQUEST_RATE]
    # Fewer are lost on the way: an instance that hangs, or is gone, takes its share of them.
    many = any(risen(e.shifts[f.CALL_ERROR_RATE]) >= INSTANCE_SHARE for e in failing)
    timed = many and any(f.CALL_LATENCY_P95 in e.shifts for e in failing)
    if waits and (served.after < SERVES * served.before or timed):
        return CauseKind.HANG
    gone = (len(amiss) > 1 and many) or served.after < SERVES * served.before
    return CauseKind.CRASH if failing and gone else kind


def _by_one_caller(situation: Situation, amiss: list[Edge]) -> bool:
    """Whether nobody else calls the callee, which answers the rest of that caller's calls as before: what hangs in it, and what its way loses, look
    the same to both."""
    edge = amiss[0]
    callee, others = situation.nodes[edge.callee], (e for e in situation.into(edge.callee) if e.caller != edge.caller)
    if any(e.made > 0 or e.usual > 0 for e in others) or callee.strength(*LATENCIES, *ERRORS) > LEAST_DISTRESS:
        return False
    return edge.made > 0.0 and lost(edge) < WAY_LOST * edge.made


def _way_or_instance(callee: Node, sure: float) -> tuple[CauseKind, float]:
    """Which of the two it is: requests that an instance took and does not end are in flight in it, and its own figures cease; those that are lost on
    the way are nowhere. Where nothing tells of that it is as likely the one as the other."""
    if stuck(callee) is not None or (callee.instances is not None and callee.instances.apart is not None):
        return CauseKind.HANG, sure
    held = callee.shifts.get(f.IN_FLIGHT)
    if held is not None and held.samples > 0 and math.isfinite(held.before):
        return CauseKind.NETWORK, sure
    return CauseKind.HANG, min(sure, ALONE_SURE)


def _covered(situation: Situation, edges: list[Edge], amiss: dict[tuple[str, str], Amiss]) -> float:
    """How much is lost at one end, less for each of its calls that is fine; one of which nothing is told since the onset is neither."""
    hurt = [amiss[e.caller, e.callee].strength for e in edges if (e.caller, e.callee) in amiss]
    fine = sum(e.made > 0.0 and (e.caller, e.callee) not in amiss and not in_doubt(situation, e) for e in edges)
    return sum(hurt) * len(hurt) / max(1, len(hurt) + fine)


def _on_the_way(situation: Situation, edge: Edge, muted: Muted) -> Amiss | None:
    """What is amiss without the callee's showing it; None where it shows it, or does not answer at all."""
    callee = situation.nodes[edge.callee]
    if not callee.own or callee.observer or muted.get(edge.callee, 0.0) > SILENT_FROM:
        return None
    serves = callee.shifts.get(f.REQUEST_RATE)
    # Who is always known of later than its callers' calls is heard of, too, once it is known of since the onset.
    heard = callee.known_ns >= max(edge.known_ns - callee.late_ns, situation.onset_ns + HEARD_NS)
    if serves is None or serves.after <= 0.0 or not heard or _slow(edge, callee):
        return None
    found = [
        a
        for a in (_failures(situation, edge, callee), _waits(edge, callee), _handed_on(situation, edge, callee))
        if a is not None and a.strength > CALLER_LEAST
    ]
    worst = max(found, key=lambda a: a.strength, default=None)
    if worst is None or worst.kind is not CauseKind.LATENCY or len(found) == 1:
        return worst
    # What fails without the callee's knowing of it never came there, or is never answered.
    return worst._replace(kind=CauseKind.HANG if serves.after < SERVES * serves.before else CauseKind.NETWORK)


def _replaced(situation: Situation, name: str) -> bool:
    """Whether a service's processes began a moment ago: what the new ones answered may not have been told of yet."""
    early = situation.now_ns - situation.onset_ns < REPLACED_PATIENCE_NS
    since_ns = situation.onset_ns - REPLACED_NS
    return early and any(c.service == name and c.kind in REPLACES and c.time_ns >= since_ns for c in situation.changes)


def _failures(situation: Situation, edge: Edge, callee: Node) -> Amiss | None:
    failed = edge.shifts.get(f.CALL_ERROR_RATE)
    if edge.unanswered and not _replaced(situation, edge.callee):
        return _without_answer(edge)
    if failed is None or risen(failed) * failed.samples < ERRORS_ENOUGH:
        return None
    told = max((callee.shifts[n].after for n in ERRORS if n in callee.shifts), default=0.0)
    share = 1.0 - max(0.0, told) / max(failed.after, 1e-9)
    if share <= TOLD_ELSEWHERE:
        return None
    text = f"{edge.caller} → {edge.callee}: {change(failed)}, of which {edge.callee} tells nothing"
    return Amiss(failed.strength() * share, CauseKind.NETWORK, text)


def _handed_on(situation: Situation, edge: Edge, callee: Node) -> Amiss | None:
    """Requests of the caller that failed with its calls to the callee, of which that tells nothing: as many as there are say so, few calls or
    not. Who waits for what fails waits for somebody who hangs."""
    failing = strongest(situation.nodes[edge.caller], *ERRORS)
    if failing is None or not edge.blamed >= AMISS_BETWEEN or risen(failing) * failing.samples < ERRORS_ENOUGH:
        return None
    told = calls_per_request(situation, edge) * (callee.risen(*ERRORS) or 0.0)
    share = edge.blamed * (1.0 - min(1.0, told / max(risen(failing), 1e-9)))
    if share <= TOLD_ELSEWHERE:
        return None
    text = f"{100 * edge.blamed:.0f} % of the requests of {edge.caller} that fail do so in calls to {edge.callee}, which tells of none of that"
    many = risen(failing) >= INSTANCE_SHARE * calls_per_request(situation, edge)
    hangs = many and edge.strength(f.CALL_LATENCY_P95) > FAST
    return Amiss(failing.strength() * share, CauseKind.HANG if hangs else CauseKind.NETWORK, text)


def _without_answer(edge: Edge) -> Amiss:
    """Calls that were made, and of which nothing came back while others were answered."""
    surely = missing_z(edge.attempted, edge.observed, 0.0)
    text = f"{edge.caller} → {edge.callee}: {_not_answered(edge)}"
    strength = SILENCE_WEIGHT * math.log1p(max(0.0, surely)) * edge.unanswered / edge.attempted
    return Amiss(strength, CauseKind.CRASH, text)


def _not_answered(edge: Edge) -> str:
    return f"{edge.unanswered:.0f} of {edge.attempted:.0f} calls were not answered"


def _waits(edge: Edge, callee: Node) -> Amiss | None:
    waited, takes = edge.shifts.get(f.CALL_LATENCY_P95), callee.risen(*TAILS)
    if waited is None or takes is None or edge.strength(f.CALL_LATENCY_P95) <= FAST or risen(waited) <= 0.0:
        return None
    if (callee.risen(*ERRORS) or 0.0) > AMISS_BETWEEN * SLOWEST:
        return None  # the slowest are those that fail, of which it tells
    text = f"{edge.caller} → {edge.callee}: {change(waited)}, while {edge.callee} is as quick as before"
    strength, kind = enough_calls(edge, waited) * waited.strength() * (1.0 - takes / risen(waited)), CauseKind.NETWORK
    if edge.unanswered:
        kind = CauseKind.HANG
        text += f"; {_not_answered(edge)}"
    elif (gap := edge.shifts.get(f.NETWORK_GAP)) is not None and not _covers(gap, waited):
        kind = CauseKind.LATENCY  # in its own spans they are slow, few among those of its other callers
        text += " to others"
    return Amiss(strength, kind, text)


def _covers(gap: Shift, waited: Shift) -> bool:
    """Whether the time lost between the two is what is waited for."""
    return gap.strength() > LOSSY_LEAST and risen(gap) > AMISS_BETWEEN * risen(waited)


def _slow(edge: Edge, callee: Node) -> bool:
    """Whether the callee is slow, so that its callers may have given up on it. Who waits for an answer that takes the callee a fraction
    of that time does not wait for the callee."""
    waited = edge.shifts.get(f.CALL_LATENCY_P95)
    if waited is None or edge.strength(f.CALL_LATENCY_P95) <= FAST:
        slower = (callee.shifts[n] for n in LATENCIES if n in callee.shifts)
        return any(s.strength() > FAST and s.after > SLOWER * s.before for s in slower)
    return (callee.risen(*TAILS) or 0.0) > AMISS_BETWEEN * risen(waited)
