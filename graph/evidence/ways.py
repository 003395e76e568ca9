"""Is it the way to a service that loses calls, or one of its instances? Whoever else calls it tells.

A way is lost to those who go it: others are answered. An instance that hangs, or is gone, is missed by all who call, each in part; then it is
chance whose calls come to it, and of few calls all that are lost may be one caller's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from contracts import features as f
from graph.evidence.situation import Edge, Shift, Situation, risen
from graph.judgement import (
    CALLER_LEAST,
    ERRORS_ENOUGH,
    FAST,
    INSTANCE_SHARE,
    KEPT_SHARE,
    SLOWEST,
    TIMEOUT_S,
    TIMEOUT_TIMES,
    WAY_AS_MANY,
    WAY_COUNTS,
    WAY_LEAST,
    WAY_LOST,
    WAY_MISSES,
    WAY_NATS,
    WAY_SELDOM,
)


def lost(edge: Edge) -> float:
    """Calls along an edge since the onset that were made for nothing: that were not answered, or failed."""
    failed = edge.shifts.get(f.CALL_ERROR_RATE)
    return max(edge.unanswered, edge.made * failed.after if failed is not None and failed.after > 0.0 else 0.0)


def answers_others(situation: Situation, name: str, amiss: Sequence[Edge]) -> bool:
    """Whether hardly any of these calls to a service is answered, and those of others, as many, are, more surely than chance has it."""
    others = [e for e in _others(situation, name, amiss) if _answered_as_before(e)]
    made, answers = sum(e.made for e in amiss), sum(e.observed for e in others)
    if not amiss or answers < WAY_AS_MANY * made or not all(lost(e) >= WAY_LOST * e.made for e in amiss):
        return False
    return surely_apart(chance_of_loss(situation, name, amiss))


def serves_all_the_same(situation: Situation, name: str, amiss: Sequence[Edge]) -> bool:
    """Whether hardly any of these calls to a service is answered, and it serves about as much as before: what it would not serve, were they lost to
    it, is missing in its own count. Calls that one of its instances loses are made again, and answered by another."""
    served = situation.nodes[name].shifts.get(f.REQUEST_RATE)
    if served is None or not served.before > 0 or not served.samples or not amiss:
        return False
    if not all(lost(e) >= WAY_LOST * e.made > 0 for e in amiss):
        return False
    missing = math.fsum(lost(e) for e in amiss) / served.samples
    return missing >= WAY_COUNTS * served.before and served.before - served.after <= WAY_MISSES * missing


def surely_apart(chance: float) -> bool:
    """Whether the loss of these calls, and not of others', is more than chance."""
    return chance <= math.exp(-WAY_NATS)


def by_chance(situation: Situation, name: str, amiss: Sequence[Edge]) -> bool:
    """Whether these calls to a service, of which as many are lost as an instance takes, may be lost to one of its instances: others' would be, and by
    chance are not."""
    losing = losing_calls(amiss)
    return bool(losing) and not surely_apart(chance_of_loss(situation, name, losing))


def losing_calls(amiss: Sequence[Edge]) -> list[Edge]:
    """Of calls that are amiss those that are lost, as many as an instance takes, and not merely late."""
    return [e for e in amiss if _for_nothing(e) >= max(INSTANCE_SHARE * e.made, 1.0)]


def how_sure(situation: Situation, name: str, amiss: Sequence[Edge], way: bool) -> float:
    """How probable it is that the way is lost, or else that an instance is missed, of calls to a service that are lost as by an instance: what
    other callers' calls tell of it, or will. Where nobody else calls nothing speaks for the way."""
    losing = losing_calls(amiss)
    others = _others(situation, name, losing)
    if not losing or not any(e.made > 0 or e.usual > 0 for e in others):
        return 1.0
    lost_way = 1.0 / (1.0 + WAY_SELDOM * chance_of_loss(situation, name, losing))
    return max(WAY_LEAST, lost_way if way else 1.0 - lost_way)


def chance_of_loss(situation: Situation, name: str, amiss: Sequence[Edge]) -> float:
    """The chance that an instance of a service, of whose calls these are amiss, is missed by so many callers, whichever, so much more than by all
    others."""
    others = [e for e in _others(situation, name, amiss) if e.made > 0]
    split = split_by_chance(amiss, others)
    whichever = _log_ways(len(others) + len(amiss), len(amiss))
    return math.exp(min(0.0, whichever + math.log(split))) if split > 0.0 else 0.0


def split_by_chance(amiss: Sequence[Edge], others: Sequence[Edge]) -> float:
    """The chance that of all calls that are lost at least as many are those of `amiss`, where each of all calls was lost alike: Fisher's exact
    test (Journal of the Royal Statistical Society 85, 1922). 1 where nobody else calls, or nothing is lost."""
    made, of_others = (round(sum(e.made for e in edges)) for edges in (amiss, others))
    theirs, elsewhere = (round(sum(min(_for_nothing(e), e.made) for e in edges)) for edges in (amiss, others))
    return _at_least(min(theirs, made), made, min(theirs + elsewhere, made + of_others), made + of_others)


def given_up(edge: Edge) -> float:
    """Calls along an edge that were waited for as long as time-outs take, as few as that shows in their quantile, and of which nothing says that
    they arrived."""
    waited = edge.shifts.get(f.CALL_LATENCY_P95)
    if waited is None or f.NETWORK_GAP in edge.shifts or edge.strength(f.CALL_LATENCY_P95) <= FAST:
        return 0.0
    late = risen(waited) >= TIMEOUT_S and waited.after > TIMEOUT_TIMES * waited.before
    return max(1.0, SLOWEST * edge.made) if late else 0.0


def enough_calls(edge: Edge, late: Shift) -> float:
    """What calls along an edge count for that are late, by how many they are, 0 to 1: one call that is late is no slow way."""
    return min(1.0, max(edge.made, late.samples) / ERRORS_ENOUGH)


def _for_nothing(edge: Edge) -> float:
    """Calls along an edge that are lost, or given up."""
    return max(lost(edge), given_up(edge))


def _at_least(hits: int, drawn: int, marked: int, total: int) -> float:
    """The chance of at least so many marked ones among those drawn (the hypergeometric distribution)."""
    most = min(drawn, marked)
    if hits <= max(0, drawn + marked - total):
        return 1.0
    whole = _log_ways(total, drawn)
    found = (_log_ways(marked, k) + _log_ways(total - marked, drawn - k) - whole for k in range(hits, most + 1))
    return min(1.0, math.fsum(math.exp(x) for x in found))


def _log_ways(of: int, some: int) -> float:
    """Logarithm of how many ways there are to take some of them."""
    return math.lgamma(of + 1) - math.lgamma(some + 1) - math.lgamma(of - some + 1)


def _others(situation: Situation, name: str, amiss: Sequence[Edge]) -> list[Edge]:
    callers = {e.caller for e in amiss}
    return [e for e in situation.into(name) if e.caller not in callers and not in_doubt(situation, e)]


def in_doubt(situation: Situation, edge: Edge) -> bool:
    """Whether nobody tells how calls along an edge fare: the caller does not, and it suffers, as its own callers see, so it may be from them."""
    if math.isfinite(edge.attempted):
        return False
    suffers = (e.strength(f.CALL_ERROR_RATE, f.CALL_LATENCY_P95) for e in situation.into(edge.caller))
    return any(s > CALLER_LEAST for s in suffers)


def _answered_as_before(edge: Edge) -> bool:
    """Whether all calls are answered; of a caller that does not count them, as many as before."""
    if edge.unanswered or lost(edge) > (1.0 - KEPT_SHARE) * edge.made:
        return False
    return math.isfinite(edge.attempted) or edge.observed >= KEPT_SHARE * edge.expected
