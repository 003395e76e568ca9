"""How bad an incident is for users, at the services where they come in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from contracts import features as f
from contracts.settings import Objective
from contracts.verdicts import Severity
from graph.evidence.local import strongest
from graph.evidence.silence import ERRORS, LATENCIES
from graph.evidence.situation import Node, Shift, Situation
from graph.evidence.words import number
from graph.judgement import (
    ALONE_DECADES,
    BURNS_FAST,
    CRITICAL_FAILURES,
    CRITICAL_QUIET,
    CRITICAL_SLOWER,
    FELT,
    TOGETHER_DECADES,
)

Promised = Callable[[str], Objective]
"""What is promised of a service of the environment, by its name."""
_P95: Final = (f.LATENCY_P95, f.METRIC_LATENCY_P95)


def nothing_promised(service: str) -> Objective:
    """For who has no objectives."""
    return Objective()


def severity_of(
    situation: Situation, entries: Iterable[str], suffering: bool, promised: Promised = nothing_promised
) -> Severity:
    """Critical if requests at an entry fail or take twice as long; warning if they suffer less, or work is left undone (`suffering`), or it
    is not known what users feel. Info if they are served as before. Of an entry with an objective it is critical if its error budget
    burns fast (alerts on burn rate, The Site Reliability Workbook, chapter 5), or if it is slower than promised."""
    asked = sorted(set(entries) & set(situation.nodes))
    known = [n for n in asked if situation.nodes[n].shifts.keys() & {*ERRORS, *LATENCIES}]
    worst = Severity.WARNING if suffering or not known else Severity.INFO
    for name in asked:
        node = situation.nodes[name]
        failed, slow = _symptoms(node)
        failed = _failures_written(node) if failed is None and not promised(name).availability else failed
        quiet = strongest(node, f.REQUEST_RATE, direction=-1)
        if _fails_badly(failed, promised(name)) or _slow_badly(node, slow, promised(name)):
            return Severity.CRITICAL
        if quiet is not None and quiet.decades >= ALONE_DECADES and quiet.after < CRITICAL_QUIET * quiet.before:
            return Severity.CRITICAL
        if any(s is not None and s.strength() > FELT for s in (failed, slow)):
            worst = Severity.WARNING
    return worst


def against_promises(situation: Situation, entries: Iterable[str], promised: Promised) -> str:
    """What users are promised and do not get, in a sentence; "" where nothing is promised, or all of it is kept."""
    told = (_broken(situation.nodes[n], promised(n)) for n in sorted(set(entries) & set(situation.nodes)))
    return "; ".join(x for x in told if x)


def _symptoms(node: Node) -> tuple[Shift | None, Shift | None]:
    return strongest(node, *ERRORS), None if node.mix.excuses else strongest(node, *LATENCIES)


def _failures_written(node: Node) -> Shift | None:
    """Of who tells of itself by logs alone, the share of its records that are of errors."""
    untold = not node.shifts.keys() & {f.REQUEST_RATE, f.METRIC_REQUEST_RATE}
    return node.shifts.get(f.LOG_ERROR_RATE) if untold else None


def _burn(failed: Shift, promise: Objective) -> float:
    """How many times faster than its error budget allows a service fails."""
    assert promise.availability is not None
    return failed.after / (1.0 - promise.availability)


def _fails_badly(failed: Shift | None, promise: Objective) -> bool:
    if failed is None or failed.decades < TOGETHER_DECADES:
        return False
    if promise.availability is None:
        return failed.after > CRITICAL_FAILURES
    return _burn(failed, promise) >= BURNS_FAST


def _slow_badly(node: Node, slow: Shift | None, promise: Objective) -> bool:
    if slow is None or slow.decades < TOGETHER_DECADES or slow.ratio < CRITICAL_SLOWER:
        return False
    return promise.latency_s is None or _late(node, promise) is not None


def _late(node: Node, promise: Objective) -> Shift | None:
    """The 95th percentile that is above what is promised."""
    told = [node.shifts[n] for n in _P95 if n in node.shifts]
    late = [s for s in told if promise.latency_s is not None and s.after > promise.latency_s]
    return max(late, key=lambda s: s.after, default=None)


def _broken(node: Node, promise: Objective) -> str:
    failed, slow = _symptoms(node)
    said = []
    if promise.availability is not None and failed is not None and failed.decades >= TOGETHER_DECADES:
        burn = _burn(failed, promise)
        if burn > 1.0:
            may = number(failed.feature, 1.0 - promise.availability)
            said.append(
                f"{number(failed.feature, failed.after)} of its requests fail where {may} may ({burn:.2g} times its error budget)"
            )
    late = None if slow is None or slow.decades < TOGETHER_DECADES else _late(node, promise)
    if late is not None and promise.latency_s is not None:
        promise_s = number(late.feature, promise.latency_s)
        said.append(f"its latency (p95) is {number(late.feature, late.after)} where {promise_s} are promised")
    return f"{node.name}: {', '.join(said)}" if said else ""
