"""Channels that follow the calls: latency and errors that no callee explains, silence, lost network time, broken call patterns.

What callees account for is not the caller's own (`graph.evidence.explained`), and what users do not feel explains no incident
(`graph.evidence.harm`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.between import between
from graph.evidence.busy import kept_waiting
from graph.evidence.explained import Muted, by_mix, errors_shares, latency_shares, total
from graph.evidence.finding import Finding
from graph.evidence.harm import Reach, apart
from graph.evidence.local import strongest
from graph.evidence.log_records import log_records
from graph.evidence.missing_logs import missing_logs
from graph.evidence.own_calls import cold_cache, own_calls
from graph.evidence.silence import ERRORS, LATENCIES, missing_z
from graph.evidence.situation import Edge, Node, Shift, Situation, risen
from graph.evidence.waiting import unanswering, waiting
from graph.evidence.ways import enough_calls
from graph.evidence.words import change
from graph.judgement import (
    APART_SHARE,
    BEHIND_SHARE,
    BLOCKED_DECADES,
    BLOCKED_LESS,
    BLOCKED_NS,
    CALLED_BEFORE,
    CALLED_BEFORE_SPREADS,
    CALLER_ALONE,
    CALLER_BESIDE,
    CALLER_LEAST,
    COVERS_MORE,
    ERRORS_ENOUGH,
    FEW_CALLS,
    HARDLY,
    HEARD_NS,
    KEPT_SHARE,
    LEAST_EXPECTED,
    LOSSY_LEAST,
    LOSSY_RATIO,
    LOSSY_S,
    LOST_SIGMAS,
    MORE_FAIL,
    MOSTLY,
    ONE_CALLER,
    PARTLY,
    PATTERN_EACH_LOST,
    PATTERN_MOST_LOST,
    PATTERN_NONE_LOST,
    PATTERN_REQUESTS,
    PATTERN_WEIGHT,
    RIVAL_SHARE,
    SLOWER,
    SWAPPED_SHARE,
    UNEXPLAINED,
)

CACHES: Final = frozenset(
    {"redis", "valkey", "memcached", "keydb", "dragonfly", "hazelcast", "infinispan", "aerospike"}
)
"""Stores (`db.system.name` of OpenTelemetry) that are mostly kept before others."""
_BY_CALLERS: Final = (f.CALL_ERROR_RATE, f.CALL_LATENCY_P95)
NO_CALLEE: Final = "; no callee accounts for it"


class Loss(NamedTuple):
    """The calls of a service that lose time, all its calls, and how much of the loss it covers."""

    hurt: list[Edge]
    edges: list[Edge]
    coverage: float


Losses = Mapping[str, Loss]


def latency(situation: Situation, muted: Muted, losses: Losses, reach: Mapping[str, Reach]) -> Iterator[Finding]:
    """Time to serve a request above the usual, less what the callees account for, as far as users feel it."""
    for node in situation.nodes.values():
        own = strongest(node, *LATENCIES) if node.own else None
        if own is not None and own.after > SLOWER * own.before:
            if node.mix.excuses:
                text = f"{node.name}: {change(own)}, because slower routes are asked for; each is as quick as before"
                yield Finding(node.name, "latency", UNEXPLAINED * own.strength(), text, CauseKind.LATENCY)
                continue
            share, by = total(latency_shares(situation, node, own, muted))
            mix = by_mix(node, own)
            explained = mix + (1 - mix) * share, by
            yield _felt(situation, _discounted(node, "latency", own, explained, CauseKind.LATENCY), reach)
        if not _tells(node):
            yield from (
                _felt(situation, x, reach) for x in _seen_by_callers(situation, node, f.CALL_LATENCY_P95, losses, muted)
            )


def _discounted(node: Node, channel: str, own: Shift, explained: tuple[float, str], kind: CauseKind) -> Finding:
    share, by = explained
    left = own.strength() * max(UNEXPLAINED, 1.0 - share)
    text = f"{node.name}: {change(own)}"
    if share >= MOSTLY:
        return Finding(node.name, channel, left, f"{text}, of which {by} accounts for {100 * share:.0f} %", kind, by)
    if share > PARTLY:
        text += f", {100 * share:.0f} % of it through {by}"
    elif by:
        text += NO_CALLEE
    return Finding(node.name, channel, left, text, kind)


def _felt(situation: Situation, finding: Finding, reach: Mapping[str, Reach]) -> Finding:
    """A symptom as far as it accounts for the harm that the incident is about. What others account for is discounted already."""
    mine = reach[finding.channel]
    if apart(situation, finding.service):
        text = f"{finding.text.removesuffix(NO_CALLEE)}; whom it calls is not known"
        return dataclasses.replace(finding, strength=mine.weight * APART_SHARE * finding.strength, text=text)
    others = (r.factor_otherwise(finding.service) for kind, r in reach.items() if kind != finding.channel)
    factor = mine.weight if finding.explained_by else max(mine.factor(finding.service), *others)
    text = f"{finding.text}, which users hardly feel" if factor < HARDLY else finding.text
    return dataclasses.replace(finding, strength=factor * finding.strength, text=text)


def errors(situation: Situation, muted: Muted, losses: Losses, reach: Mapping[str, Reach]) -> Iterator[Finding]:
    """Failed requests beyond the usual, less those that callees failed first, as far as users feel it."""
    for node in situation.nodes.values():
        own = strongest(node, *ERRORS) if node.own else None
        if own is not None and own.after > own.before + MORE_FAIL:
            explained = total(errors_shares(situation, node, own, muted))
            found = _discounted(node, "errors", own, explained, CauseKind.ERRORS)
            yield _felt(situation, dataclasses.replace(found, strength=_enough(own) * found.strength), reach)
        if not _tells(node):
            yield from (
                _felt(situation, x, reach) for x in _seen_by_callers(situation, node, f.CALL_ERROR_RATE, losses, muted)
            )


def _tells(node: Node) -> bool:
    """Whether a service says itself how its requests fare: some tell of their resources alone."""
    return node.own and any(n in node.shifts for n in (f.REQUEST_RATE, f.METRIC_REQUEST_RATE, *LATENCIES, *ERRORS))


def _enough(failures: Shift) -> float:
    """What failures count for by how many they are, 0 to 1."""
    return min(1.0, risen(failures) * failures.samples / ERRORS_ENOUGH)


def _seen_by_callers(situation: Situation, node: Node, feature: str, losses: Losses, muted: Muted) -> Iterator[Finding]:
    """A node that does not say how it serves is judged by what all its callers see; one caller out of many blames itself. Whom a service of
    that kind calls is mostly not known, either: it may be slow because of others. Where whoever it passes calls on to tells of them, what
    these account for is not its own."""
    edges = [e for e in situation.into(node.name) if feature in e.shifts]
    hurt = [e for e in edges if e.strength(feature) > CALLER_LEAST]
    if not hurt:
        return
    channel = "latency" if feature == f.CALL_LATENCY_P95 else "errors"
    worst = max(hurt, key=lambda e: (e.strength(feature), e.caller))
    strength = worst.strength(feature) * (ONE_CALLER + (1.0 - ONE_CALLER) * len(hurt) / len(edges))
    text = f"{worst.caller} → {node.name}: {change(worst.shifts[feature])}"
    kind, by = CauseKind.DEPENDENCY, ""
    if node.own:
        kind = CauseKind.LATENCY if channel == "latency" else CauseKind.ERRORS
        shares = latency_shares if channel == "latency" else errors_shares
        share, largest = total(shares(situation, node, worst.shifts[feature], muted))
        strength *= max(UNEXPLAINED, 1.0 - share)
        if share >= MOSTLY:
            by, text = largest, f"{text}, of which {largest} accounts for {100 * share:.0f} %"
        if not situation.out(node.name):
            strength, text = APART_SHARE * strength, f"{text}; what {node.name} does then is not known"
    cut = [e for e in losses[worst.caller].hurt if e.caller == worst.caller]
    if feature == f.CALL_LATENCY_P95 and len(hurt) == 1 and len(cut) > 1:
        text += f", like all calls of {worst.caller}"
        yield Finding(node.name, channel, RIVAL_SHARE * strength, text, kind, worst.caller)
    else:
        yield Finding(node.name, channel, strength, text, kind, by)


def ceased(situation: Situation) -> Iterator[Finding]:
    """Who serves what a service without spans passes on, and of whose serving nothing is told since that fails or keeps its callers waiting:
    it may not answer, or is not asked any more. Nobody can see which."""
    for node in situation.nodes.values():
        into, onward = situation.into(node.name), situation.out(node.name)
        if not node.own or not into or not onward or _tells(node):
            continue
        worst = max(into, key=lambda e: (e.strength(*_BY_CALLERS), e.caller))
        strength = worst.strength(*_BY_CALLERS)
        if strength <= CALLER_LEAST:
            continue
        for edge in onward:
            if f.CALL_RATE not in edge.shifts and 0 < edge.known_ns < worst.known_ns - HEARD_NS:
                text = f"{edge.callee} has answered nothing that {node.name} passes on since {worst.caller} suffers from it"
                yield Finding(edge.callee, "silence", BEHIND_SHARE * strength, text, CauseKind.CRASH)


def network(losses: Losses) -> Iterator[Finding]:
    """Time lost between caller and callee. To blame is the side on which most calls lose time."""
    for name, (hurt, edges, coverage) in losses.items():
        if not hurt:
            continue
        worst = max(hurt, key=lambda e: (_loses(e), e.caller, e.callee))
        peer = worst.caller if worst.callee == name else worst.callee
        text = f"{worst.caller} → {worst.callee}: {change(worst.shifts[f.NETWORK_GAP])}"
        if len(hurt) > 1:
            text += f"; so do {len(hurt) - 1} more of its {len(edges)} calls"
        strength = _loses(worst) * min(1.0, coverage / sum(map(_loses, hurt)))
        rivals = {e.caller if e.callee == name else e.callee for e in hurt}
        by = max(sorted(rivals), key=lambda r: losses[r].coverage)
        if losses[by].coverage > COVERS_MORE * coverage:
            text += f", as on {len(losses[by].hurt)} of the calls of {by}"
            yield Finding(name, "network", RIVAL_SHARE * strength, text, CauseKind.NETWORK, by, peer, worst.caller)
        else:
            yield Finding(
                name, "network", strength, text, CauseKind.NETWORK, peer=peer, caller=worst.caller, paths=len(hurt)
            )


def lossy(situation: Situation, name: str) -> Loss:
    """Time lost around a service: a service loses coverage for each call that is fine, on the side (incoming or outgoing) where that
    speaks most for it."""
    into = [e for e in situation.into(name) if f.NETWORK_GAP in e.shifts]
    best = Loss([], [], 0.0)
    for edges in (into, [*into, *(e for e in situation.out(name) if f.NETWORK_GAP in e.shifts)]):
        hurt = [e for e in edges if _loses(e) > LOSSY_LEAST and _slower(e.shifts[f.NETWORK_GAP])]
        coverage = sum(map(_loses, hurt)) * len(hurt) / max(1, len(edges))
        if coverage > best.coverage + 1e-9:
            best = Loss(hurt, edges, coverage)
    return best


def _loses(edge: Edge) -> float:
    """How surely time is lost along an edge."""
    lost = edge.shifts[f.NETWORK_GAP]
    return lost.strength() * enough_calls(edge, lost)


def _slower(shift: Shift) -> bool:
    return shift.after > max(LOSSY_RATIO * shift.before, shift.before + LOSSY_S)


def pattern(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """Calls that stop happening after another returned: a callee answered, but wrongly (or the caller took another path).

    Nezha (Yu et al., FSE 2023) finds such faults as expected event patterns that vanish. Suspects are the callees that are
    still called as before and, less, the caller itself. Calls known in part say nothing: those that are missing may have been left out.
    """
    for node in situation.nodes.values():
        edges = [e for e in situation.out(node.name) if math.isfinite(e.per_request_before)]
        lost = [e for e in edges if not e.in_part and _lost(e) and not _found_in_cache(situation, e, edges)]
        requests = node.shifts.get(f.REQUEST_RATE)
        if (
            not lost
            or requests is None
            or requests.after * requests.samples < PATTERN_REQUESTS
            or _blocked(situation, requests)
        ):
            continue
        if any(e.callee in muted for e in lost) or _swapped(edges, lost):
            continue
        worst = max(lost, key=lambda e: (_loss_z(e), e.callee))
        many = min(PATTERN_MOST_LOST, PATTERN_NONE_LOST + PATTERN_EACH_LOST * len(lost))
        strength = PATTERN_WEIGHT * math.log1p(_loss_z(worst)) * many * requests.known
        often = KEPT_SHARE * min(1.0, worst.per_request_before)
        kept = [e for e in edges if e.per_request_before > often and _kept(e) and not _ends_before(situation, node, e)]
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


def _ends_before(situation: Situation, node: Node, edge: Edge) -> bool:
    """Whether a service's typical request now ends sooner than a call of this edge takes, which it did not before: requests that end early asked
    nobody, and nobody's answer made them."""
    typical, way = node.shifts.get(f.LATENCY_P50), edge.shifts.get(f.NETWORK_GAP)
    served = situation.nodes[edge.callee].shifts.get(f.LATENCY_P50)
    if typical is None or way is None or served is None or typical.strength(-1) <= CALLER_LEAST:
        return False
    return typical.after < way.after + served.after and typical.before > way.before + served.before


def _found_in_cache(situation: Situation, lost: Edge, edges: list[Edge]) -> bool:
    """Whether what is no longer asked of a store may come from a cache that is asked as before: it is warm."""
    caches = (e for e in edges if e.callee.removeprefix("db:").partition("/")[0] in CACHES)
    return situation.nodes[lost.callee].kind == "database" and any(e is not lost and _kept(e) for e in caches)


def _swapped(edges: list[Edge], lost: list[Edge]) -> bool:
    """Whether other callees are called instead: requests ask for something else, which is no fault."""
    missing = sum(e.expected - e.made for e in lost)
    return sum(max(0.0, e.made - e.expected) for e in edges) > SWAPPED_SHARE * missing


def _blocked(situation: Situation, requests: Shift) -> bool:
    """In the first seconds requests that hang are missing from the callers too: too early to call it a choice of theirs."""
    young = situation.now_ns - situation.onset_ns < BLOCKED_NS
    return young and requests.after < BLOCKED_LESS * requests.before and requests.decades > BLOCKED_DECADES


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


def spread(
    situation: Situation, silent: Sequence[Finding], muted: Muted, reach: Mapping[str, Reach]
) -> Iterator[Finding]:
    """What all channels that follow the calls say, in a fixed order. `silent`: what says that services are silent; `muted`: how surely;
    `reach`: where what users feel comes from."""
    losses = {name: lossy(situation, name) for name in situation.nodes}
    yield from latency(situation, muted, losses, reach)
    yield from errors(situation, muted, losses, reach)
    yield from ceased(situation)
    yield from unanswering(situation, silent)
    yield from kept_waiting(situation, (*network(losses), *between(situation, muted)))
    yield from pattern(situation, muted)
    yield from log_records(situation, muted)
    yield from missing_logs(situation, muted)
    yield from waiting(situation, muted)
    yield from own_calls(situation)
    yield from cold_cache(situation)
