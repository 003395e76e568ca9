"""The channels of calls that a service makes for each of its requests: where it makes many more, and none of them because one failed, what it
does has changed (a flag, a setting kept elsewhere, a release), and no restart undoes that; where it asks its store more, its cache is cold."""

from __future__ import annotations

import math
from collections.abc import Iterator

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.local import more_asked
from graph.evidence.silence import missing_z
from graph.evidence.situation import Edge, Node, Situation
from graph.judgement import CALLER_LEAST, LEAST_EXPECTED, MORE_CALLS, MORE_CALLS_MOST, MORE_CALLS_SIGMAS, SWAPPED_SHARE


def own_calls(situation: Situation) -> Iterator[Finding]:
    """Services that make many more calls for each request than before. Calls to stores alone say nothing: a cold cache makes them as well. Nor do
    those of a service that is asked for much more: it may be asked for something else, or find less of it in its cache."""
    for node, many in _makes_many_more(situation):
        told = [e for e in many if situation.nodes[e.callee].kind == "service"]
        if told and more_asked(situation, node) is None:
            worst = _surest(told)
            text = (
                f"{node.name} makes {worst.per_request_after:.2g} instead of {worst.per_request_before:.2g} calls of {worst.callee} for each "
                "request, and none of them because one failed: what it does has changed"
            )
            yield Finding(node.name, "calls", _strength(worst), text, CauseKind.BAD_RELEASE, peer=worst.callee)


def cold_cache(situation: Situation) -> Iterator[Finding]:
    """Services that ask a store far more for each request than before, while nothing fails and nobody else is called more: what they kept is gone,
    and comes back by itself. A restart empties it once more."""
    for node, many in _makes_many_more(situation):
        if all(situation.nodes[e.callee].kind == "database" for e in many):
            worst = _surest(many)
            asks = f"{worst.per_request_after:.2g} instead of {worst.per_request_before:.2g} times for each request"
            text = f"{node.name} asks {worst.callee} {asks}: what it kept is gone"
            yield Finding(node.name, "cold_cache", _strength(worst), text, CauseKind.LATENCY, peer=worst.callee)


def _makes_many_more(situation: Situation) -> Iterator[tuple[Node, list[Edge]]]:
    """Services with the calls that they make many more of for each request, none of them because one failed, and none instead of others."""
    for node in situation.nodes.values():
        edges = situation.out(node.name)
        many = [e for e in edges if _many_more(e)]
        if many and not any(_asked_again(e) for e in edges) and not _instead(edges, many):
            yield node, many


def _instead(edges: list[Edge], many: list[Edge]) -> bool:
    """Whether others are called less by as much: requests ask for something else."""
    counted = [e for e in edges if math.isfinite(e.per_request_before) and not e.in_part]
    fewer = math.fsum(max(0.0, e.expected - e.made) for e in counted)
    return fewer > SWAPPED_SHARE * math.fsum(e.made - e.expected for e in many)


def _surest(many: list[Edge]) -> Edge:
    return max(many, key=lambda e: (_surely(e), e.callee))


def _strength(worst: Edge) -> float:
    return min(MORE_CALLS_MOST, math.log1p(_surely(worst)))


def _surely(edge: Edge) -> float:
    """How far beyond chance more calls are made than expected."""
    return -missing_z(edge.expected, edge.made, edge.per_request_before)


def _many_more(edge: Edge) -> bool:
    if not math.isfinite(edge.per_request_before) or edge.expected < LEAST_EXPECTED or edge.in_part:
        return False
    return edge.made > MORE_CALLS * edge.expected and _surely(edge) > MORE_CALLS_SIGMAS


def _asked_again(edge: Edge) -> bool:
    """Whether calls along an edge may be made again because they fail, or are not answered."""
    return edge.strength(f.CALL_ERROR_RATE) > CALLER_LEAST or edge.unanswered > 0
