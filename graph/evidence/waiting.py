"""The channel of work that piles up in front of a service: queue lag, requests that wait for a pooled connection, or that it took and
never answers.

Requests that hang end in no span and in no histogram: that they are in flight is all that tells of them. In flight are, by Little's law, as
many as come in the time that one takes. Where there are many more than those that end account for, and no more is asked, some are stuck.
Who holds streams open always has more in flight than its requests account for: of it nothing follows.

Who waits for its callees keeps its own callers waiting: as much of it is not its own as they account for of its slow and failed requests.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Final

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.explained import Muted, theirs
from graph.evidence.finding import Finding
from graph.evidence.local import lost_capacity, more_asked, strongest
from graph.evidence.situation import Node, Shift, Situation
from graph.evidence.words import change
from graph.judgement import (
    ALONE_DECADES,
    ERRORS_ENOUGH,
    MOSTLY,
    OFTEN,
    PARTLY,
    SERVES_LESS,
    STUCK_ASKED,
    STUCK_LASTS,
    STUCK_LEAST,
    STUCK_MORE,
    TOGETHER_DECADES,
    UNEXPLAINED,
    WAITING_MOST,
    WAY_LOST,
)

WORK: Final = (f.QUEUE_LAG, f.POOL_WAIT)
"""What counts work that waits."""


def waiting(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """A service is saturated only if more is asked of it or it has lost capacity; else its work waits for something (a lock, connections
    that are not given back, a slow dependency), and more instances would wait, too."""
    for node in situation.nodes.values():
        share, by = theirs(situation, node, muted)
        if (held := stuck(node)) is not None:
            strength = min(WAITING_MOST, held.strength()) * max(UNEXPLAINED, 1.0 - share)
            if share >= MOSTLY:
                yield Finding(
                    node.name, "waiting", strength, f"{node.name}: {change(held)}, as it waits for {by}", None, by
                )
            else:
                text = f"{node.name}: {change(held)}, though no more is asked of it: some of them hang"
                yield Finding(node.name, "waiting", strength, text, CauseKind.HANG)
        shift = strongest(node, *WORK)
        if shift is None:
            continue
        strength = min(WAITING_MOST, shift.strength()) * max(UNEXPLAINED, 1.0 - share)
        text = f"{node.name}: {change(shift)}"
        if share >= MOSTLY:
            yield Finding(node.name, "waiting", strength, f"{text}, as it waits for {by}", None, by)
        elif more_asked(situation, node) is not None:
            yield Finding(node.name, "waiting", strength, text, CauseKind.SATURATION)
        elif lost := lost_capacity(situation, node.name):
            yield Finding(node.name, "waiting", strength, f"{text}, since {lost}", CauseKind.SATURATION)
        elif left_undone(node) is not None:
            yield Finding(node.name, "waiting", strength, f"{text}, while it does less than usual", CauseKind.HANG)
        else:
            yield Finding(node.name, "waiting", strength, f"{text}, though no more is asked of it", None)


def unanswering(situation: Situation, silent: Iterable[Finding]) -> Iterator[Finding]:
    """Services that are silent, less what the calls that they make themselves account for: who waits for a callee until it gives up answers
    hardly anybody. Only what is seen of those calls counts, as whoever hangs makes none; and no callee that waits for the service itself."""
    for finding in silent:
        share, by = max(theirs(situation, situation.nodes[finding.service], {}), last_calls(situation, finding.service))
        if share <= PARTLY or _asks(situation, by, finding.service):
            yield finding
            continue
        strength, text = finding.strength * max(UNEXPLAINED, 1.0 - share), f"{finding.text}, as it waits for {by}"
        if share >= MOSTLY:
            yield dataclasses.replace(finding, strength=strength, text=text, kind=None, explained_by=by)
        else:
            yield dataclasses.replace(finding, strength=strength)


def last_calls(situation: Situation, name: str) -> tuple[float, str]:
    """The share of its last calls to one callee that failed, and that callee, where all of them did and none of those to others. A service that
    has crashed tells of no calls that fail, and one that is cut off fails in all that it makes: this one was stopped by whom it called. So it is
    still when those calls are too long ago to be looked at, while it has made none since and nobody tells that the callee answers again."""
    told = [(e, e.shifts[f.CALL_ERROR_RATE]) for e in situation.out(name) if f.CALL_ERROR_RATE in e.shifts]
    by = situation.stopped.get(name, "")
    if by and not any(s.samples > 0.0 for _, s in told):
        return (0.0, "") if _answers_again(situation, by) else (WAY_LOST, by)
    failed = [
        (s.after, e.callee) for e, s in told if s.after * s.samples >= ERRORS_ENOUGH and e.per_request_before > OFTEN
    ]
    share, by = max(failed, default=(0.0, ""))
    others = any(s.after >= PARTLY for e, s in told if e.callee != by)
    return (0.0, "") if share < WAY_LOST or others else (share, by)


def _answers_again(situation: Situation, name: str) -> bool:
    """Whether calls to a service that somebody tells of are answered."""
    told = [e.shifts[f.CALL_ERROR_RATE] for e in situation.into(name) if f.CALL_ERROR_RATE in e.shifts]
    return any(s.samples >= ERRORS_ENOUGH and s.after < PARTLY for s in told)


def _asks(situation: Situation, name: str, callee: str) -> bool:
    """Whether a service calls another, also by way of others."""
    queue, seen = [name], {name}
    while queue:
        fresh = {e.callee for e in situation.out(queue.pop())} - seen
        seen |= fresh
        queue += sorted(fresh)
    return callee in seen


def left_undone(node: Node) -> Shift | None:
    """That work piles up in front of a service that does less than usual: whoever left it may not wait for it, but it is not done. None where
    either is in doubt."""
    waits, done = strongest(node, *WORK), strongest(node, f.REQUEST_RATE, f.METRIC_REQUEST_RATE, direction=-1)
    if waits is None or done is None or waits.decades < ALONE_DECADES or done.decades < TOGETHER_DECADES:
        return None
    return waits if done.after < SERVES_LESS * done.before else None


def stuck(node: Node) -> Shift | None:
    """That requests are in flight which do not end: far more than usual, and than those that end account for. None where more is asked, where
    streams are held open, or where it is in doubt."""
    held, rate = node.shifts.get(f.IN_FLIGHT), node.shifts.get(f.REQUEST_RATE) or node.shifts.get(f.METRIC_REQUEST_RATE)
    if held is None or rate is None or not (rate.before > 0 and held.before >= 0.0) or held.decades < ALONE_DECADES:
        return None
    if held.after < STUCK_MORE * max(held.before, STUCK_LEAST) or rate.after > STUCK_ASKED * rate.before:
        return None
    taken = [node.shifts[n] for n in (f.LATENCY_P95, f.METRIC_LATENCY_P95) if n in node.shifts]
    before, after = (max((getattr(t, side) for t in taken), default=0.0) for side in ("before", "after"))
    streams = held.before > STUCK_LASTS * max(rate.before * before, STUCK_LEAST)
    slower = held.after <= STUCK_LASTS * rate.after * after
    return None if streams or slower else held
