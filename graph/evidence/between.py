"""Calls that fail between two services: the caller sees failures of which the callee, which serves, tells nothing.

They were refused, or never arrived: a certificate, a name, a policy, a proxy. Neither of the two failed, so what the callee accounts for
of its callers' failures is not its own, either. To blame is the end at which the larger part of the calls fail.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.explained import Muted
from graph.evidence.finding import Finding
from graph.evidence.silence import ERRORS, LATENCIES
from graph.evidence.situation import Edge, Node, Situation, risen
from graph.evidence.words import change
from graph.judgement import AMISS_BETWEEN, CALLER_LEAST, ERRORS_ENOUGH, FAST, HEARD_NS, SILENT_FROM


def between(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """Each service at which calls fail on the way, and whose other end covers less of it."""
    lost = {key: s for key, e in situation.edges.items() if (s := _on_the_way(situation, e, muted)) > CALLER_LEAST}
    blamed: dict[str, list[Edge]] = {}
    for caller, callee in lost:
        into = _covered(situation.into(callee), lost)
        out = _covered(situation.out(caller), lost)
        blamed.setdefault(caller if out > into else callee, []).append(situation.edges[caller, callee])
    for name, edges in blamed.items():
        worst = max(edges, key=lambda e: (lost[e.caller, e.callee], e.caller, e.callee))
        peer = worst.caller if worst.callee == name else worst.callee
        text = f"{worst.caller} → {worst.callee}: {change(worst.shifts[f.CALL_ERROR_RATE])}, of which {worst.callee} tells nothing"
        if len(edges) > 1:
            text += f"; so do {len(edges) - 1} more of the calls of {name}"
        yield Finding(name, "network", lost[worst.caller, worst.callee], text, CauseKind.NETWORK, peer=peer)


def _covered(edges: list[Edge], lost: dict[tuple[str, str], float]) -> float:
    """How much is lost at one end, less for each of its calls that is fine."""
    hurt = [lost[e.caller, e.callee] for e in edges if (e.caller, e.callee) in lost]
    return sum(hurt) * len(hurt) / max(1, len(edges))


def _on_the_way(situation: Situation, edge: Edge, muted: Muted) -> float:
    """How strongly calls fail without the callee's doing; 0 where it fails itself, is as slow as its callers wait, or does not answer."""
    callee, failed = situation.nodes[edge.callee], edge.shifts.get(f.CALL_ERROR_RATE)
    if failed is None or not callee.own or callee.observer or muted.get(edge.callee, 0.0) > SILENT_FROM:
        return 0.0
    if _slow(edge, callee):
        return 0.0
    serves = callee.shifts.get(f.REQUEST_RATE)
    heard = callee.known_ns >= max(edge.known_ns, situation.onset_ns + HEARD_NS)
    if serves is None or serves.after <= 0.0 or not heard:
        return 0.0
    extra = failed.after - (failed.before if math.isfinite(failed.before) else 0.0)
    if extra * failed.samples < ERRORS_ENOUGH:
        return 0.0
    told = max((callee.shifts[n].after for n in ERRORS if n in callee.shifts), default=0.0)
    share = 1.0 - max(0.0, told) / max(failed.after, 1e-9)
    return failed.strength() * share if share > AMISS_BETWEEN else 0.0


def _slow(edge: Edge, callee: Node) -> bool:
    """Whether the callee is slow, so that its callers may have given up on it. Who waits for an answer that takes the callee a fraction
    of that time does not wait for the callee."""
    waited = edge.shifts.get(f.CALL_LATENCY_P95)
    if waited is None or edge.strength(f.CALL_LATENCY_P95) <= FAST:
        return callee.strength(*LATENCIES) > FAST
    takes = max((risen(callee.shifts[n]) for n in LATENCIES if n in callee.shifts), default=0.0)
    return takes > AMISS_BETWEEN * risen(waited)
