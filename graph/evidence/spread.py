"""Channels that follow the calls: latency and errors that no callee explains, silence, lost network time, broken call patterns.

Explaining away is quantitative: of a caller's extra seconds (or extra failures) as many are its callee's as the calls between
them account for, calls per request times the extra per call. What remains is the caller's own.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Final

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.local import strongest
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.evidence.words import change
from graph.judgement import (
    ALL_SILENT,
    ASKED_ENOUGH,
    BLOCKED_DECADES,
    BLOCKED_LESS,
    BLOCKED_NS,
    CALLED_BEFORE,
    CALLED_BEFORE_SPREADS,
    CALLEE_LEAST,
    CALLER_ALONE,
    CALLER_BESIDE,
    CALLER_LEAST,
    COVERS_MORE,
    ENTRY_RATE,
    ENTRY_SHARE,
    ENTRY_SILENT,
    FEW_CALLS,
    IN_DISTRESS,
    KEPT_SHARE,
    LEAST_ASKED,
    LEAST_CALLS,
    LEAST_DISTRESS,
    LEAST_EXPECTED,
    LOSSY_LEAST,
    LOSSY_RATIO,
    LOSSY_S,
    LOST_SIGMAS,
    MIX,
    MORE_FAIL,
    MOST_CALLS,
    MOSTLY,
    OFTEN,
    ONE_CALLER,
    PARTLY,
    PATTERN_EACH_LOST,
    PATTERN_MOST_LOST,
    PATTERN_NONE_LOST,
    PATTERN_REQUESTS,
    PATTERN_WEIGHT,
    RIVAL_SHARE,
    SERVES,
    SILENCE_SIGMAS,
    SILENCE_WEIGHT,
    SILENT_EXPLAINS,
    SILENT_FROM,
    SLOWER,
    SUBTRACT,
    SWAPPED_SHARE,
    TIMEOUT_S,
    TIMEOUT_TIMES,
    TIMING_OUT,
    UNEXPLAINED,
)

LATENCIES: Final = (f.LATENCY_P95, f.LATENCY_P50, f.METRIC_LATENCY_P95, f.METRIC_LATENCY_P50)
ERRORS: Final = (f.ERROR_RATE, f.METRIC_ERROR_RATE)


def calls_per_request(edge: Edge) -> float:
    """How many calls of this edge one request of the caller makes, within reason; 1 where unknown."""
    known = [x for x in (edge.per_request_after, edge.per_request_before) if math.isfinite(x) and x > 0]
    return min(MOST_CALLS, max(LEAST_CALLS, known[0])) if known else 1.0


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


def latency(situation: Situation) -> Iterator[Finding]:
    """Time to serve a request above the usual, less what the callees account for."""
    muted = {s.service: s.strength for s in silence(situation)}
    for node in situation.nodes.values():
        own = strongest(node, *LATENCIES) if node.own else None
        if own is not None and own.after > SLOWER * own.before:
            if node.mix.excuses:
                text = f"{node.name}: {change(own)}, because slower routes are asked for; each is as quick as before"
                yield Finding(node.name, "latency", UNEXPLAINED * own.strength(), text, CauseKind.LATENCY)
                continue
            share, by = _latency_explained(situation, node, own, muted)
            yield _discounted(node, "latency", own, (share, by), CauseKind.LATENCY)
        if not node.own:
            yield from _seen_by_callers(situation, node, f.CALL_LATENCY_P95, "latency", CauseKind.LATENCY)


def _latency_explained(situation: Situation, node: Node, own: Shift, muted: dict[str, float]) -> tuple[float, str]:
    by_mix = max(0.0, min(own.after, own.before * node.mix.risen) - own.before) / max(own.after - own.before, 1e-9)
    extra = (own.after - own.before) * max(1 - by_mix, UNEXPLAINED)
    shares: dict[str, float] = {}
    for edge in served_by(situation, node.name):
        seen = edge.shifts.get(f.CALL_LATENCY_P95)
        callee = situation.nodes[edge.callee]
        theirs = seen if seen is not None and math.isfinite(seen.before) else strongest(callee, *LATENCIES)
        gain = 0.0
        if theirs is not None and theirs.strength() > CALLEE_LEAST:
            gain = calls_per_request(edge) * max(0.0, theirs.after - theirs.before) / max(extra, 1e-9)
        if seen is None and theirs is not None:
            gain = max(gain, SUBTRACT * theirs.strength() / max(own.strength(), 1e-9))
        if muted.get(edge.callee, 0.0) > SILENT_FROM:
            gain = max(gain, SILENT_EXPLAINS)
        shares[edge.callee] = min(1.0, gain)
    share, by = _total(shares)
    return by_mix + (1 - by_mix) * share, by


def _total(shares: dict[str, float]) -> tuple[float, str]:
    by = max(sorted(shares), key=lambda c: shares[c], default="")
    return min(1.0, sum(shares.values())), by


def _discounted(node: Node, channel: str, own: Shift, explained: tuple[float, str], kind: CauseKind) -> Finding:
    share, by = explained
    left = own.strength() * max(UNEXPLAINED, 1.0 - share)
    text = f"{node.name}: {change(own)}"
    if share >= MOSTLY:
        return Finding(node.name, channel, left, f"{text}, of which {by} accounts for {100 * share:.0f} %", kind, by)
    if share > PARTLY:
        text += f", {100 * share:.0f} % of it through {by}"
    elif by:
        text += "; no callee accounts for it"
    return Finding(node.name, channel, left, text, kind)


def errors(situation: Situation) -> Iterator[Finding]:
    """Failed requests beyond the usual, less those that callees failed first."""
    muted = {s.service: s.strength for s in silence(situation)}
    for node in situation.nodes.values():
        own = strongest(node, *ERRORS) if node.own else None
        if own is not None and own.after > own.before + MORE_FAIL:
            yield _discounted(node, "errors", own, _errors_explained(situation, node, own, muted), CauseKind.ERRORS)
        if not node.own:
            yield from _seen_by_callers(situation, node, f.CALL_ERROR_RATE, "errors", CauseKind.ERRORS)


def _errors_explained(situation: Situation, node: Node, own: Shift, muted: dict[str, float]) -> tuple[float, str]:
    extra = max(own.after - (own.before if math.isfinite(own.before) else 0.0), 1e-6)
    rate = node.shifts.get(f.REQUEST_RATE)
    failed = extra * rate.after * rate.samples if rate is not None else math.inf
    shares: dict[str, float] = {}
    for edge in served_by(situation, node.name):
        callee = situation.nodes[edge.callee]
        seen = edge.shifts.get(f.CALL_ERROR_RATE) or strongest(callee, *ERRORS)
        gain = 0.0
        if seen is not None and seen.strength() > CALLEE_LEAST:
            base = seen.before if math.isfinite(seen.before) else 0.0
            gain = calls_per_request(edge) * max(0.0, seen.after - base) / extra
        if edge.observed < SERVES * edge.attempted:  # most of its calls were not answered at all
            gain = max(gain, (edge.attempted - edge.observed) / max(failed, 1.0))
        if muted.get(edge.callee, 0.0) > SILENT_FROM:
            gain = max(gain, SILENT_EXPLAINS)
        shares[edge.callee] = min(1.0, gain)
    return _total(shares)


def _seen_by_callers(
    situation: Situation, node: Node, feature: str, channel: str, kind: CauseKind
) -> Iterator[Finding]:
    """A node without telemetry of its own is judged by what all its callers see; one caller out of many blames itself."""
    edges = [e for e in situation.into(node.name) if feature in e.shifts]
    hurt = [e for e in edges if e.strength(feature) > CALLER_LEAST]
    if not hurt:
        return
    worst = max(hurt, key=lambda e: (e.strength(feature), e.caller))
    strength = worst.strength(feature) * (ONE_CALLER + (1.0 - ONE_CALLER) * len(hurt) / len(edges))
    text = f"{worst.caller} → {node.name}: {change(worst.shifts[feature])}"
    cut = [e for e in _lossy(situation, worst.caller)[0] if e.caller == worst.caller]
    if feature == f.CALL_LATENCY_P95 and len(hurt) == 1 and len(cut) > 1:
        text += f", like all calls of {worst.caller}"
        yield Finding(node.name, channel, RIVAL_SHARE * strength, text, _kind_of(node, kind), worst.caller)
    else:
        yield Finding(node.name, channel, strength, text, _kind_of(node, kind))


def _kind_of(node: Node, kind: CauseKind) -> CauseKind:
    return kind if node.own else CauseKind.DEPENDENCY


def silence(situation: Situation) -> Iterator[Finding]:
    """A service that is asked but no longer answers. Less traffic because its callers ask less is no silence.

    Where several callees of one caller fall silent at once, one of them may have stopped the caller before it reached the others:
    each gets less. Where all of a caller's callees do, the caller no longer calls: none of them gets much.
    """
    raw = [s for s in (_silent(situation, n) for n in situation.nodes.values()) if s is not None]
    for finding, caller in raw:
        edges = [
            e
            for e in situation.out(caller)
            if math.isfinite(e.per_request_before) and e.expected + e.usual >= LEAST_EXPECTED
        ]
        if any(e.callee == finding.service and math.isfinite(e.attempted) for e in edges):
            yield finding  # the caller itself says that it called
            continue
        together = sum(e.observed < FEW_CALLS * max(e.expected, e.usual) for e in edges)
        share = 1.0 if together <= 1 else ALL_SILENT if together == len(edges) else together**-0.5
        yield dataclasses.replace(finding, strength=share * finding.strength)
    for node in situation.nodes.values():
        if not situation.into(node.name):
            yield from _silent_entry(situation, node)


def _silent(situation: Situation, node: Node) -> tuple[Finding, str] | None:
    """How sure it is that a service does not answer, and the caller in most distress.

    Expected are the calls its callers say they made, by name or by their client spans: who no longer makes a call is not left
    without an answer. Where they do not, those they would have made for the requests they served since (and, for callers in
    distress, which may be stuck in that very call, for the requests they used to serve). A caller is in no distress while each
    of its routes takes as long as before, whatever it is asked for.
    That fewer calls come is no silence by itself: who serves as many requests as ever is not silent, whatever its callers do, and
    of a caller that does not count its calls the missing ones must show as requests that hang, fail or time out.
    """
    if _serves(node):
        return None
    edges = [e for e in situation.into(node.name) if math.isfinite(e.per_request_before)]
    expected, observed = 0.0, sum(e.observed for e in edges)
    distress, worst = 0.0, ""
    for edge in edges:
        caller = situation.nodes[edge.caller]
        slow = 0.0 if caller.mix.routes_as_before else caller.strength(*LATENCIES)
        hurt = max(slow, caller.strength(*ERRORS), edge.strength(f.CALL_ERROR_RATE))
        inferred = max(edge.expected, edge.usual if hurt > IN_DISTRESS else 0.0)
        expected += inferred if math.isnan(edge.attempted) else max(edge.attempted, edge.observed)
        if hurt > distress:
            distress, worst = hurt, edge.caller
    z = missing_z(expected, observed, max((e.per_request_before for e in edges), default=0.0))
    if distress < LEAST_DISTRESS or z < SILENCE_SIGMAS or observed > FEW_CALLS * expected:
        return None
    asked = min(1.0, ASKED_ENOUGH * _unanswered(situation, node, edges) / (expected - observed))
    if asked < LEAST_ASKED:
        return None
    slow = situation.nodes[worst].strength(*LATENCIES) > situation.nodes[worst].strength(*ERRORS)
    strength = SILENCE_WEIGHT * math.log1p(z) * (1 - observed / expected) * min(1.0, distress) * asked
    text = (
        f"{node.name} answered {observed:.0f} of about {expected:.0f} calls expected since onset, "
        f"while {worst} {'waits' if slow else 'fails'}"
    )
    return Finding(node.name, "silence", strength, text, CauseKind.HANG if slow else CauseKind.CRASH), worst


def hushed(edge: Edge, callee: Node) -> bool:
    """Whether a callee that should have answered calls since the onset answered hardly any, and serves hardly anybody else."""
    due = edge.usual if math.isfinite(edge.usual) else edge.expected
    return (
        edge.per_request_before > OFTEN
        and due >= LEAST_EXPECTED
        and edge.observed < FEW_CALLS * due
        and not _serves(callee)
    )


def _serves(node: Node) -> bool:
    """Whether a service itself tells that it serves about as many requests as ever."""
    rate = node.shifts.get(f.REQUEST_RATE)
    if rate is None or not node.own or not math.isfinite(rate.before):
        return False
    return rate.after > SERVES * rate.before


def _unanswered(situation: Situation, node: Node, edges: list[Edge]) -> float:
    """How many calls to a service are known, or seem, to have been made and not answered.

    Where a caller counts its calls, that is the answer. Else its requests must show it: those that are still out (it serves fewer
    than usual), that failed, or that took as long as time-outs do. A service that goes on answering in good time is no reason for
    its callers to wait, so of such a one only failures count.
    """
    answers = node.lately.get(f.REQUEST_RATE, 0.0) > 0 and node.strength(*LATENCIES, *ERRORS) < LEAST_DISTRESS
    found = 0.0
    for edge in edges:
        if not math.isnan(edge.attempted):
            found += max(0.0, edge.attempted - edge.observed)
            continue
        caller = situation.nodes[edge.caller]
        rate = caller.shifts.get(f.REQUEST_RATE)
        if rate is None:
            continue
        served = rate.after * rate.samples
        requests = served * _failing(caller)
        if not answers:
            usual = rate.before * rate.samples
            requests += max(0.0, usual - served - math.sqrt(usual)) + served * _timing_out(caller)
        found += edge.per_request_before * requests
    return found


def _failing(node: Node) -> float:
    """Share of requests that fail beyond the usual."""
    found = (node.shifts[n] for n in ERRORS if n in node.shifts)
    return max((s.after - (s.before if math.isfinite(s.before) else 0.0) for s in found), default=0.0)


def _timing_out(node: Node) -> float:
    """Share of requests that lately take as long as time-outs do: much longer than usual, and about a second at least."""
    for name, share in zip((f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99), TIMING_OUT, strict=True):
        shift = node.shifts.get(name)
        now = node.lately.get(name, 0.0)
        if shift is not None and now - shift.before >= TIMEOUT_S and now > TIMEOUT_TIMES * shift.before:
            return share
    return 0.0


def missing_z(expected: float, observed: float, bunch: float) -> float:
    """How far fewer calls came than expected. Calls come in bunches (several per request), and what requests ask for varies by
    `MIX` in proportion, however many there are."""
    variance = max(expected, 1.0) * (1 + bunch) + (MIX * expected) ** 2
    return (expected - observed) / math.sqrt(variance)


def _silent_entry(situation: Situation, node: Node) -> Iterator[Finding]:
    rate = strongest(node, f.REQUEST_RATE, f.METRIC_REQUEST_RATE, direction=-1)
    if rate is None or not node.own or rate.before < ENTRY_RATE or rate.after > ENTRY_SILENT * rate.before:
        return
    # Nobody is seen calling it, so nobody can tell a silent service from absent users: half the evidence.
    yield Finding(
        node.name, "silence", ENTRY_SHARE * rate.strength(-1), f"{node.name}: {change(rate)}", CauseKind.CRASH
    )


def network(situation: Situation) -> Iterator[Finding]:
    """Time lost between caller and callee. To blame is the side on which most calls lose time."""
    lost = {n: _lossy(situation, n) for n in situation.nodes}
    for name, (hurt, edges, coverage) in lost.items():
        if not hurt:
            continue
        worst = max(hurt, key=lambda e: (e.strength(f.NETWORK_GAP), e.caller, e.callee))
        peer = worst.caller if worst.callee == name else worst.callee
        text = f"{worst.caller} → {worst.callee}: {change(worst.shifts[f.NETWORK_GAP])}"
        if len(hurt) > 1:
            text += f"; so do {len(hurt) - 1} more of its {len(edges)} calls"
        strength = worst.strength(f.NETWORK_GAP) * min(1.0, coverage / sum(e.strength(f.NETWORK_GAP) for e in hurt))
        rivals = {e.caller if e.callee == name else e.callee for e in hurt}
        by = max(sorted(rivals), key=lambda r: lost[r][2])
        if lost[by][2] > COVERS_MORE * coverage:
            text += f", as on {len(lost[by][0])} of the calls of {by}"
            yield Finding(name, "network", RIVAL_SHARE * strength, text, CauseKind.NETWORK, by, peer)
        else:
            yield Finding(name, "network", strength, text, CauseKind.NETWORK, peer=peer)


def _lossy(situation: Situation, name: str) -> tuple[list[Edge], list[Edge], float]:
    """The calls of a service that lose time, all its calls, and how much of the loss it covers: a service loses coverage for
    each call that is fine, on the side (incoming or outgoing) where that speaks most for it."""
    sides = (situation.into(name), [*situation.into(name), *situation.out(name)])
    best: tuple[list[Edge], list[Edge], float] = ([], [], 0.0)
    for side in sides:
        edges = [e for e in side if f.NETWORK_GAP in e.shifts]
        hurt = [e for e in edges if e.strength(f.NETWORK_GAP) > LOSSY_LEAST and _slower(e.shifts[f.NETWORK_GAP])]
        coverage = sum(e.strength(f.NETWORK_GAP) for e in hurt) * len(hurt) / max(1, len(edges))
        if coverage > best[2] + 1e-9:
            best = (hurt, edges, coverage)
    return best


def _slower(shift: Shift) -> bool:
    return shift.after > max(LOSSY_RATIO * shift.before, shift.before + LOSSY_S)


def pattern(situation: Situation) -> Iterator[Finding]:
    """Calls that stop happening after another returned: a callee answered, but wrongly (or the caller took another path).

    Nezha (Yu et al., FSE 2023) finds such faults as expected event patterns that vanish. Suspects are the callees that are
    still called as before and, less, the caller itself.
    """
    for node in situation.nodes.values():
        edges = [e for e in situation.out(node.name) if math.isfinite(e.per_request_before)]
        lost = [e for e in edges if _lost(e)]
        requests = node.shifts.get(f.REQUEST_RATE)
        if (
            not lost
            or requests is None
            or requests.after * requests.samples < PATTERN_REQUESTS
            or _blocked(situation, requests)
        ):
            continue
        if _any_silent(situation, lost) or _swapped(edges, lost):
            continue
        worst = max(lost, key=lambda e: (_loss_z(e), e.callee))
        many = min(PATTERN_MOST_LOST, PATTERN_NONE_LOST + PATTERN_EACH_LOST * len(lost))
        strength = PATTERN_WEIGHT * math.log1p(_loss_z(worst)) * many * requests.known
        kept = [e for e in edges if e.per_request_before > KEPT_SHARE * worst.per_request_before and _kept(e)]
        said = f"{node.name} hardly calls {worst.callee} any more ({_pace(worst)})"
        if len(lost) > 1:
            said += f" nor {len(lost) - 1} other{'s' if len(lost) > 2 else ''}"
        for edge in kept:
            text = f"{said}, after calling {edge.callee} as before: what {edge.callee} returns may be wrong"
            yield Finding(
                edge.callee,
                "pattern",
                CALLED_BEFORE * strength / len(kept) ** CALLED_BEFORE_SPREADS,
                text,
                CauseKind.ERRORS,
            )
        yield Finding(
            node.name, "pattern", (CALLER_BESIDE if kept else CALLER_ALONE) * strength, said, CauseKind.ERRORS
        )


def _swapped(edges: list[Edge], lost: list[Edge]) -> bool:
    """Whether other callees are called instead: requests ask for something else, which is no fault."""
    missing = sum(e.expected - e.made for e in lost)
    return sum(max(0.0, e.made - e.expected) for e in edges) > SWAPPED_SHARE * missing


def _blocked(situation: Situation, requests: Shift) -> bool:
    """In the first seconds requests that hang are missing from the callers too: too early to call it a choice of theirs."""
    young = situation.now_ns - situation.onset_ns < BLOCKED_NS
    return young and requests.after < BLOCKED_LESS * requests.before and requests.decades > BLOCKED_DECADES


def _any_silent(situation: Situation, edges: list[Edge]) -> bool:
    """Whether one of these calls stopped because its callee no longer answers."""
    muted = {s.service for s in silence(situation)}
    return any(e.callee in muted for e in edges)


def _pace(edge: Edge) -> str:
    return f"{edge.per_request_after:.2g} instead of {edge.per_request_before:.2g} calls per request"


def _loss_z(edge: Edge) -> float:
    return missing_z(edge.expected, edge.made, edge.per_request_before)


def _lost(edge: Edge) -> bool:
    if edge.made >= FEW_CALLS * edge.usual:
        return False  # as often as ever: only more is asked for that needs no such call
    # A call that only some requests make says little when it is missing from a few.
    always = min(1.0, edge.per_request_before)
    return edge.made < FEW_CALLS * edge.expected and _loss_z(edge) * always > LOST_SIGMAS


def _kept(edge: Edge) -> bool:
    return edge.made >= KEPT_SHARE * edge.expected and edge.made >= LEAST_EXPECTED


SPREAD: tuple[Callable[[Situation], Iterator[Finding]], ...] = (latency, errors, silence, network, pattern)
