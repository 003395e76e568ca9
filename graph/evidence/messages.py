"""Consumers that take no more messages while producers go on sending them: the queue between them answers every producer, so that no call fails
and nobody waits; the joined calls from producer to consumer are what ceases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.silence import ERRORS, LATENCIES, missing_z
from graph.evidence.situation import Edge, Node, Situation
from graph.judgement import KEPT_SHARE, LEAST_DISTRESS, LEAST_EXPECTED, SILENCE_SIGMAS, SILENCE_WEIGHT, STALLED_LEFT


def stalled(situation: Situation) -> Iterator[Finding]:
    """Services that serve hardly anything any more while those whose messages they took send as many as before."""
    for node in situation.nodes.values():
        if not _hardly_serves(node):
            continue
        lost = [e for e in situation.into(node.name) if _ceased(e) and _goes_on_sending(situation, e)]
        surely = max((missing_z(e.expected, e.observed, e.per_request_before) for e in lost), default=0.0)
        if surely < SILENCE_SIGMAS:
            continue
        worst = max(lost, key=lambda e: (e.expected - e.observed, e.caller))
        text = (
            f"{node.name} took {worst.observed:.0f} of about {worst.expected:.0f} messages of {worst.caller} since the onset, which goes on "
            "sending them"
        )
        yield Finding(
            node.name, "silence", SILENCE_WEIGHT * math.log1p(surely), text, CauseKind.HANG, peer=worst.caller
        )


def _hardly_serves(node: Node) -> bool:
    rate = node.shifts.get(f.REQUEST_RATE)
    return node.own and rate is not None and rate.before > 0 and rate.after <= STALLED_LEFT * rate.before


def _ceased(edge: Edge) -> bool:
    known = math.isfinite(edge.per_request_before) and not edge.in_part
    return known and edge.expected >= LEAST_EXPECTED and edge.observed <= STALLED_LEFT * edge.expected


def _goes_on_sending(situation: Situation, edge: Edge) -> bool:
    """Whether a caller sends as often for each of its requests as before: to a queue that answers it, or, as it counts them itself, calls of which
    it waits for none, and fails with none."""
    caller = situation.nodes[edge.caller]
    if math.isfinite(edge.attempted) and edge.attempted >= KEPT_SHARE * edge.expected:
        waits = edge.strength(f.CALL_ERROR_RATE, f.CALL_LATENCY_P95)
        return max(waits, caller.strength(*LATENCIES, *ERRORS)) < LEAST_DISTRESS
    sends = (e for e in situation.out(edge.caller) if situation.nodes[e.callee].kind == "messaging")
    return any(e.expected >= LEAST_EXPECTED and e.observed >= KEPT_SHARE * e.expected for e in sends)
