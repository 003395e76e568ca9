"""Which symptom an incident is about, and whose it is: the harm that users feel, followed down the calls to where it comes from.

Harm begins at services that suffer while nobody who calls them does (or where an objective is known to be violated). From there it is
handed down: each service passes on what its callees account for and keeps the rest. What arrives at a service is the share of the harm
that its own fault would explain; a symptom of which users feel nothing explains no incident.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from contracts import features as f
from graph.evidence.explained import Muted, errors_shares, latency_shares, served_by
from graph.evidence.local import strongest
from graph.evidence.silence import ERRORS, LATENCIES, TAILS
from graph.evidence.situation import Edge, Node, Shift, Situation, risen
from graph.judgement import CALLEE_LEAST, CALLER_LEAST, HARM_HOPS, OTHER_KIND, REACH_FULL, REACH_LEAST

KINDS: Final[Mapping[str, tuple[tuple[str, ...], str]]] = {
    "latency": (LATENCIES, f.CALL_LATENCY_P95),
    "errors": (ERRORS, f.CALL_ERROR_RATE),
}
"""Channels of symptoms: a service's own features, and the one of calls to it."""


class Reach(NamedTuple):
    """For a kind of symptom: how much the incident is about it, and the share of the harm that arrives at each service."""

    weight: float
    shares: Mapping[str, float]
    otherwise: Mapping[str, float] = {}
    """Of it, what arrives along calls of which the callee shows no symptom of this kind: it may show the other. Who is slow lets its callers
    time out, and fails in no request of its own."""

    def felt(self, service: str) -> float:
        """How much of what users feel a fault of this service would explain, 0 to 1: enough of it counts as all."""
        return min(1.0, self.shares.get(service, 0.0) / REACH_FULL)

    def factor(self, service: str) -> float:
        """What a symptom of this kind at a service counts, 0 to 1."""
        return self.weight * (REACH_LEAST + (1.0 - REACH_LEAST) * self.felt(service))

    def factor_otherwise(self, service: str) -> float:
        """What a symptom of the other kind at a service counts for harm of this kind, 0 to 1."""
        felt = min(1.0, self.otherwise.get(service, 0.0) / REACH_FULL)
        return self.weight * felt


def reaches(situation: Situation, muted: Muted) -> dict[str, Reach]:
    """Where the harm comes from, by kind of symptom. Where no harm is known, every symptom counts in full."""
    begins = {kind: _begins(situation, kind) for kind in KINDS}
    most = max((x for found in begins.values() for x in found.values()), default=0.0)
    if most <= 0.0:
        everywhere = dict.fromkeys(situation.nodes, 1.0)
        return {kind: Reach(1.0, everywhere) for kind in KINDS}
    out = {}
    for kind, found in begins.items():
        weight = max(OTHER_KIND, max(found.values(), default=0.0) / most)
        # Harm of one kind alone is known: symptoms of the other are followed from the same services.
        origins = found or dict.fromkeys((n for x in begins.values() for n in x), 1.0)
        out[kind] = Reach(weight, *_handed_down(situation, muted, kind, origins))
    return out


def harm_of(situation: Situation) -> float:
    """How strongly users suffer: the strength of the symptom that the incident is most about."""
    return max((x for kind in KINDS for x in _begins(situation, kind).values()), default=0.0)


def _begins(situation: Situation, kind: str) -> dict[str, float]:
    """Services at which harm of a kind begins, with its strength."""
    if situation.harm:
        return {h.service: 1.0 for h in situation.harm if h.kind == kind and h.service in situation.nodes}
    suffers = {n: s for n, node in situation.nodes.items() if (s := _suffers(node, kind)) > CALLER_LEAST}
    known = {n: s for n, s in suffers.items() if not apart(situation, n)} or suffers
    top = {n: s for n, s in known.items() if not _asked_by(situation, n, known)}
    return top or known


def serves_knowingly(node: Node) -> bool:
    """Whether it is known how a service serves: how much it is asked for, and how quickly it answers."""
    known = f.REQUEST_RATE in node.shifts and any(n in node.shifts for n in LATENCIES)
    return known and node.own and not node.observer


def apart(situation: Situation, name: str) -> bool:
    """Whether it is not known whom a service calls nor who calls it, while it is of others: its symptoms may be anybody's."""
    return bool(situation.edges) and not situation.out(name) and not situation.into(name)


def _suffers(node: Node, kind: str) -> float:
    if not node.own or node.observer or (kind == "latency" and node.mix.excuses):
        return 0.0
    return node.strength(*KINDS[kind][0])


def _asked_by(situation: Situation, name: str, some: Iterable[str]) -> bool:
    """Whether one of these calls a service, also by way of mere observers."""
    queue, seen, wanted = [name], {name}, set(some) - {name}
    while queue:
        for edge in situation.into(queue.pop()):
            if edge.caller in wanted:
                return True
            if situation.nodes[edge.caller].observer and edge.caller not in seen:
                seen.add(edge.caller)
                queue.append(edge.caller)
    return False


def _handed_down(
    situation: Situation, muted: Muted, kind: str, begins: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """What of the harm each service keeps, and what of that arrived along calls of which it shows no such symptom."""
    whole = sum(begins.values())
    arriving = {n: s / whole for n, s in begins.items()}
    kept: dict[str, float] = {}
    otherwise: dict[str, float] = {}
    shares: dict[str, dict[str, float]] = {}
    for _ in range(HARM_HOPS):
        onward: dict[str, float] = {}
        for name, harm in arriving.items():
            if name not in shares:
                shares[name] = _shares(situation, muted, kind, situation.nodes[name])
            every = sum(shares[name].values())
            passed = min(1.0, every)
            kept[name] = kept.get(name, 0.0) + harm * (1.0 - passed)
            for callee, share in shares[name].items():
                if share > 0.0:
                    arrives, own = harm * passed * share / every, _shown_itself(situation, name, callee, kind)
                    kept[callee] = kept.get(callee, 0.0) + arrives * (1.0 - own)
                    otherwise[callee] = otherwise.get(callee, 0.0) + arrives * (1.0 - own)
                    onward[callee] = onward.get(callee, 0.0) + arrives * own
        arriving = onward
    for name, harm in arriving.items():
        kept[name] = kept.get(name, 0.0) + harm
    return kept, otherwise


def _shares(situation: Situation, muted: Muted, kind: str, node: Node) -> dict[str, float]:
    own: Shift | None = strongest(node, *KINDS[kind][0]) if node.own else None
    if own is None:
        return {e.callee: min(1.0, _shown(situation, e, kind)) for e in served_by(situation, node.name)}
    if kind == "errors":
        return errors_shares(situation, node, own, muted)
    return latency_shares(situation, node, own, muted)  # of what its mix doesn't explain: that is nobody's doing


def _shown_itself(situation: Situation, caller: str, callee: str, kind: str) -> float:
    """Of what a caller sees of its calls, the share that the callee shows, too: the rest came about on the way, or is not answered yet,
    and is none that the callee's own callees account for. 1 where that can't be compared."""
    edge, node = situation.edges.get((caller, callee)), situation.nodes[callee]
    told = node.risen(*(TAILS if kind == "latency" else ERRORS))
    if edge is None or not node.own or told is None:
        return 1.0
    seen = edge.shifts.get(KINDS[kind][1])
    if seen is None or seen.strength() <= CALLEE_LEAST or risen(seen) <= 0.0:
        # What is not seen of this kind comes of the other: calls that fail are made again, and their callers are slow.
        return 0.0 if edge.strength(*(calls for _, calls in KINDS.values())) > CALLEE_LEAST else 1.0
    return min(1.0, told / risen(seen))


def _shown(situation: Situation, edge: Edge, kind: str) -> float:
    """How strongly a callee shows a symptom, where what its caller shows is not known."""
    features, of_calls = KINDS[kind]
    found = max(edge.strength(of_calls), situation.nodes[edge.callee].strength(*features))
    return found if found > CALLEE_LEAST else 0.0
