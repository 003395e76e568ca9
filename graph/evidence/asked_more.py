"""Whose doing it is that a service is asked for more: that of users, or of callers that ask again, or more often."""

from __future__ import annotations

from contracts import features as f
from graph.evidence.situation import Node, Shift, Situation
from graph.judgement import ASKED_TIMES, CALLER_LEAST, TOGETHER_DECADES


def by_users(situation: Situation, name: str) -> bool:
    """Whether it may be users that ask a service for more: each request of theirs beyond the usual makes at most `ASKED_TIMES` the requests of it
    that one used to make (and at least so many). So where nobody calls it, or what users ask for is not known."""
    rate = _asked(situation.nodes[name])
    above = callers_above(situation, name)
    entries = [n for n in above if not situation.into(n)]
    asked = [_asked(situation.nodes[n]) for n in entries]
    known = [x for x in asked if x is not None]
    if rate is None or not known or len(known) < len(asked) or not situation.into(name):
        return True
    before = sum(x.before for x in known)
    more = sum(max(0.0, x.after - x.before) for x in known if x.decades >= TOGETHER_DECADES)
    each = max(rate.before / before, 1.0) if before > 0 else 1.0
    return rate.after - rate.before <= ASKED_TIMES * each * more


def asked_again(situation: Situation, name: str) -> bool:
    """Whether what a service is asked for more comes of callers that ask again: calls of it fail, or of those who call it, or get no answer, and
    users ask for no more."""
    failing = (e for n in (name, *callers_above(situation, name)) for e in situation.into(n))
    fail = any(e.unanswered or e.strength(f.CALL_ERROR_RATE) > CALLER_LEAST for e in failing)
    return fail and not by_users(situation, name)


def callers_above(situation: Situation, name: str) -> set[str]:
    """Who calls a service, and who calls them in turn."""
    found: set[str] = set()
    queue = [name]
    while queue:
        for edge in situation.into(queue.pop()):
            if edge.caller not in found:
                found.add(edge.caller)
                queue.append(edge.caller)
    return found - {name}


def _asked(node: Node) -> Shift | None:
    return node.shifts.get(f.REQUEST_RATE) or node.shifts.get(f.METRIC_REQUEST_RATE)
