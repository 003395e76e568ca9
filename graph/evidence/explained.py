"""Explaining away: how much of a caller's symptom each of its callees accounts for.

It is quantitative: of a caller's extra seconds (or extra failures) as many are its callee's as the calls between them account for,
calls per request times the extra per call. What remains is the caller's own.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from contracts import features as f
from graph.evidence.local import failing, strongest
from graph.evidence.silence import ERRORS, LATENCIES
from graph.evidence.situation import Edge, Node, Shift, Situation, risen
from graph.judgement import (
    CALLEE_LEAST,
    LEAST_CALLS,
    MOST_CALLS,
    SILENT_EXPLAINS,
    SILENT_FROM,
    SUBTRACT,
    TAIL,
    UNEXPLAINED,
)

Muted = Mapping[str, float]
"""How surely services are silent, by name."""


def calls_per_request(situation: Situation, edge: Edge) -> float:
    """How many calls of this edge one request of the caller makes, within reason. Where calls are not counted, no more than the
    callee serves; 1 where nothing is known."""
    known = [x for x in (edge.per_request_after, edge.per_request_before) if math.isfinite(x) and x > 0]
    if known:
        return min(MOST_CALLS, max(LEAST_CALLS, known[0]))
    callee, caller = situation.nodes[edge.callee], situation.nodes[edge.caller]
    for feature in (
        f.REQUEST_RATE,
        f.METRIC_REQUEST_RATE,
    ):  # of both the same: spans may be a part of what metrics count
        served, asked = _requests(callee, feature), _requests(caller, feature)
        if served > 0 and asked > 0:
            return min(1.0, max(LEAST_CALLS, served / asked))
    return 1.0


def calls_in(feature: str, per_request: float) -> float:
    """Calls in the requests that make a quantile of latency: a callee that few requests call, and that is slow, is in all of the slowest."""
    tail = TAIL.get(feature.removeprefix("metric_"))
    return per_request if tail is None else max(per_request, min(1.0, per_request / tail))


def _requests(node: Node, feature: str) -> float:
    """Requests that a service served since the onset, 0 where they are not counted."""
    rate = node.shifts.get(feature)
    return rate.after * rate.samples if rate is not None else 0.0


def served_by(situation: Situation, name: str) -> list[Edge]:
    """Calls whose callees may account for a service's symptoms. A client's view of a callee explains nothing by itself: what
    it calls does."""
    out: dict[str, Edge] = {}
    queue, seen = [name], {name}
    while queue:
        for edge in situation.out(queue.pop()):
            if not situation.nodes[edge.callee].observer:
                out.setdefault(edge.callee, edge)
            elif edge.callee not in seen:
                seen.add(edge.callee)
                queue.append(edge.callee)
    return [e for callee, e in out.items() if callee != name]


def by_mix(node: Node, own: Shift) -> float:
    """Share of a service's extra latency that comes of what it is asked for, 0 to 1: of the logarithms, as `Mix.risen` is a mean of such."""
    if node.mix.risen <= 1 or not 0 < own.before < own.after:
        return 0.0
    return min(1.0, math.log(node.mix.risen) / math.log(own.after / own.before))


def latency_shares(situation: Situation, node: Node, own: Shift, muted: Muted) -> dict[str, float]:
    """Of a service's extra latency (less what its mix explains) the share that each callee accounts for, 0 to 1."""
    extra = (own.after - own.before) * max(1 - by_mix(node, own), UNEXPLAINED)
    shares: dict[str, float] = {}
    for edge in served_by(situation, node.name):
        seen = edge.shifts.get(f.CALL_LATENCY_P95)
        callee = situation.nodes[edge.callee]
        theirs = seen if seen is not None and math.isfinite(seen.before) else _alike(callee, own, LATENCIES)
        gain = 0.0
        if theirs is not None and theirs.strength() > CALLEE_LEAST:
            each = calls_in(own.feature, calls_per_request(situation, edge))
            gain = each * max(0.0, theirs.after - theirs.before) / max(extra, 1e-9)
        if node.mix.risen > 1 and theirs is not None and theirs.strength() > CALLEE_LEAST:
            # Slower routes move the quantiles of all requests together: their seconds can't be compared with those of single calls.
            gain = max(gain, SUBTRACT * min(1.0, theirs.strength() / max(own.strength(), 1e-9)))
        if (slower := _slower_to_others(situation, edge)) > 0.0:
            gain = max(gain, calls_in(own.feature, calls_per_request(situation, edge)) * slower / max(extra, 1e-9))
        if seen is None and theirs is not None:
            # How many calls a request makes is not known here: more than so many would have to be made to explain more.
            gain = max(gain, min(SUBTRACT * theirs.strength() / max(own.strength(), 1e-9), MOST_CALLS * gain))
        if muted.get(edge.callee, 0.0) > SILENT_FROM:
            gain = max(gain, SILENT_EXPLAINS)
        shares[edge.callee] = min(1.0, max(gain, _made_again(situation, edge, own)))
    return (
        {c: max(s, held.get(c, 0.0)) for c, s in shares.items()} if (held := _held(situation, node, muted)) else shares
    )


def _made_again(situation: Situation, edge: Edge, own: Shift) -> float:
    """What calls that fail account for of a quantile of their caller's latency, though none of its requests may fail: those in which a call
    is made again are among the slowest."""
    failed, tail = edge.shifts.get(f.CALL_ERROR_RATE), TAIL.get(own.feature.removeprefix("metric_"))
    if failed is None or tail is None or failed.strength() <= CALLEE_LEAST:
        return 0.0
    return min(1.0, calls_per_request(situation, edge) * risen(failed) / tail)


def _held(situation: Situation, node: Node, muted: Muted) -> dict[str, float]:
    """What callees that fail a service account for of its latency besides the seconds of their calls: it asks again, or waits for them and
    keeps the next request waiting. As much as of its failures: one fault explains both."""
    failing = strongest(node, *ERRORS)
    if failing is None or failing.strength() <= CALLEE_LEAST:
        return {}
    return errors_shares(situation, node, failing, muted)


def errors_shares(situation: Situation, node: Node, own: Shift, muted: Muted) -> dict[str, float]:
    """Of a service's extra failures the share that each callee accounts for, 0 to 1. Where spans tell in which of the requests that failed a
    call failed, too, that is it; else as many as calls for each request fail more than before."""
    extra = max(risen(own), 1e-6)
    rate = node.shifts.get(f.REQUEST_RATE)
    failed = extra * rate.after * rate.samples if rate is not None else math.inf
    shares: dict[str, float] = {}
    for edge in served_by(situation, node.name):
        callee = situation.nodes[edge.callee]
        seen = edge.shifts.get(f.CALL_ERROR_RATE) or _alike(callee, own, ERRORS)
        gain = 0.0
        if math.isfinite(edge.blamed):
            gain = edge.blamed
        elif seen is not None and seen.strength() > CALLEE_LEAST:
            gain = calls_per_request(situation, edge) * risen(seen) / extra
        if edge.unanswered:
            gain = max(gain, edge.unanswered / max(failed, 1.0))
        if (lost := lost_to_others(situation, edge)) > 0.0:
            gain = max(gain, calls_per_request(situation, edge) * lost / extra)
        if muted.get(edge.callee, 0.0) > SILENT_FROM:
            gain = max(gain, SILENT_EXPLAINS)
        shares[edge.callee] = min(1.0, gain)
    return shares


def lost_to_others(situation: Situation, edge: Edge) -> float:
    """The share of calls beyond the usual that the callee's other callers lose, who tell of theirs; 0 where the caller of the edge tells of its
    own, or they lose none. Whoever tells of no calls sees of that callee what they see."""
    others = _told_by_others(situation, edge)
    if not any(e.unanswered or e.strength(f.CALL_ERROR_RATE) > CALLEE_LEAST for e in others):
        return 0.0
    failed = (max(e.unanswered, e.made * failing(e)) for e in others)
    return min(1.0, math.fsum(failed) / max(1.0, math.fsum(e.made for e in others)))


def _slower_to_others(situation: Situation, edge: Edge) -> float:
    """Seconds beyond the usual that the callee's other callers wait for it, who tell of their calls, as `lost_to_others`."""
    told = [
        (e, e.shifts[f.CALL_LATENCY_P95]) for e in _told_by_others(situation, edge) if f.CALL_LATENCY_P95 in e.shifts
    ]
    told = [(e, s) for e, s in told if math.isfinite(s.before)]
    if not any(s.strength() > CALLEE_LEAST for _, s in told):
        return 0.0
    return max(0.0, math.fsum(e.made * risen(s) for e, s in told) / max(1.0, math.fsum(e.made for e, _ in told)))


def _told_by_others(situation: Situation, edge: Edge) -> list[Edge]:
    """Calls to the callee of an edge, of other callers that tell of theirs; none where the caller of the edge does so, too."""
    if math.isfinite(edge.attempted):
        return []
    return [e for e in situation.into(edge.callee) if e.caller != edge.caller and math.isfinite(e.attempted)]


def _alike(callee: Node, own: Shift, features: tuple[str, ...]) -> Shift | None:
    """What a callee shows of the same feature as its caller, as a median says little of a percentile; else whatever tells most."""
    return callee.shifts.get(own.feature) or strongest(callee, *features)


def total(shares: Mapping[str, float]) -> tuple[float, str]:
    """What all callees account for together, and the one that accounts for most."""
    by = max(sorted(shares), key=lambda c: shares[c], default="")
    return min(1.0, sum(shares.values())), by


def theirs(situation: Situation, node: Node, muted: Muted) -> tuple[float, str]:
    """The share that callees account for of what a service suffers from, and the one that accounts for most; 0 where it suffers nothing."""
    found = [(0.0, "")]
    slow, failing = strongest(node, *LATENCIES), strongest(node, *ERRORS)
    if slow is not None and slow.strength() > CALLEE_LEAST:
        found.append(total(latency_shares(situation, node, slow, muted)))
    if failing is not None and failing.strength() > CALLEE_LEAST:
        found.append(total(errors_shares(situation, node, failing, muted)))
    return max(found)
