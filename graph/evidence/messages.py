"""Consumers that take no more messages while producers go on sending them: the queue between them answers every producer, so that no call fails
and nobody waits; the joined calls from producer to consumer are what ceases.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.silence import missing_z
from graph.evidence.situation import Edge, Node, Situation
from graph.judgement import KEPT_SHARE, LEAST_EXPECTED, SILENCE_SIGMAS, SILENCE_WEIGHT, STALLED_LEFT


def stalled(situation: Situation) -> Iterator[Finding]:
    """Services that serve hardly anything any more while those whose messages they took send as many as before."""
    for node in situation.nodes.values():
        if not _hardly_serves(node):
            continue
        lost = [e for e in situation.into(node.name) if _ceased(e) and _goes_on_sending(situation, e.caller)]
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


def _goes_on_sending(situation: Situation, name: str) -> bool:
    """Whether a service sends to a queue as often for each of its requests as before, and is answered."""
    sends = (e for e in situation.out(name) if situation.nodes[e.callee].kind == "messaging")
    return any(e.expected >= LEAST_EXPECTED and e.observed >= KEPT_SHARE * e.expected for e in sends)
