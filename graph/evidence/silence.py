"""Who is asked and no longer answers: missing calls, weighed against everything else that makes calls fewer."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import Final

from contracts import features as f
from contracts.verdicts import CauseKind
from graph.evidence.finding import Finding
from graph.evidence.local import lost_capacity, strongest
from graph.evidence.situation import Edge, Node, Shift, Situation
from graph.evidence.ways import answers_others, lost
from graph.evidence.words import change
from graph.judgement import (
    ALIKE_FEWER,
    ALL_SILENT,
    ASKED_ENOUGH,
    CONCERNED,
    ENTRY_LEFT,
    ENTRY_RATE,
    ENTRY_SHARE,
    ENTRY_SILENT,
    ENTRY_WINDOWS,
    FAST,
    FELT,
    FEW_CALLS,
    IN_DISTRESS,
    LEAST_ASKED,
    LEAST_DISTRESS,
    LEAST_EXPECTED,
    MIN_WINDOWS,
    MIX,
    OFTEN,
    SERVES,
    SILENCE_SIGMAS,
    SILENCE_WEIGHT,
    TIMEOUT_S,
    TIMEOUT_TIMES,
    TIMING_OUT,
    WAY_LOST,
)

LATENCIES: Final = (f.LATENCY_P95, f.LATENCY_P50, f.METRIC_LATENCY_P95, f.METRIC_LATENCY_P50)
TAILS: Final = (*LATENCIES, f.LATENCY_P99, f.METRIC_LATENCY_P99)
"""What a service shows of its slowest requests, too: a high quantile of a caller's few calls may be one of those."""
ERRORS: Final = (f.ERROR_RATE, f.METRIC_ERROR_RATE)


def silence(situation: Situation) -> Iterator[Finding]:
    """A service that is asked but no longer answers. Less traffic because its callers ask less is no silence.

    Where several callees of one caller fall silent at once, one of them may have stopped the caller before it reached the others:
    each gets less. Where all of a caller's callees do, the caller no longer calls: none of them gets much. Those that are missed hardly less
    than the one that is missed most are missed with it, whichever side of a bound they are.
    """
    raw = [s for s in (_silent(situation, n) for n in situation.nodes.values()) if s is not None]
    for finding, caller in raw:
        edges = [
            e
            for e in situation.out(caller)
            if math.isfinite(e.per_request_before) and e.expected + e.usual >= LEAST_EXPECTED
        ]
        if any(e.callee == finding.service and math.isfinite(e.attempted) for e in edges):
            yield finding  # the caller itself says that it called
            continue
        own = max((_answers(situation, e) for e in edges if e.callee == finding.service), default=0.0)
        few = max(FEW_CALLS, ALIKE_FEWER * own)
        together = sum(_answers(situation, e) < few for e in edges)
        share = 1.0 if together <= 1 else ALL_SILENT if together == len(edges) else together**-0.5
        yield dataclasses.replace(finding, strength=share * finding.strength)
    for node in situation.nodes.values():
        if not situation.into(node.name):
            yield from _silent_entry(situation, node)


def _answers(situation: Situation, edge: Edge) -> float:
    """Share of the calls that are due along an edge that were answered."""
    return answered(situation, edge) / max(edge.expected, edge.usual)


def _silent(situation: Situation, node: Node) -> tuple[Finding, str] | None:
    """How sure it is that a service does not answer, and the caller in most distress.

    Expected are the calls its callers say they made, by name or by their client spans: who no longer makes a call is not left
    without an answer. Where they do not, those they would have made for the requests they served since (and, for callers in
    distress, which may be stuck in that very call, for the requests they used to serve). Where routes tell, by the routes of these requests:
    another mix of them needs other calls. A caller is in no distress while each of its routes takes as long as before, whatever it is
    asked for, and requests that fail and never needed this callee are none that it causes.
    That fewer calls come is no silence by itself: who serves as many requests as ever is not silent, whatever its callers do, and
    of a caller that does not count its calls the missing ones must show as requests that hang, fail or time out.
    """
    if _serves(node):
        return None
    edges = [e for e in situation.into(node.name) if math.isfinite(e.per_request_before)]
    if answers_others(situation, node.name, [e for e in edges if e.unanswered or lost(e) >= WAY_LOST * e.made > 0]):
        return None
    expected, observed = 0.0, sum(answered(situation, e) for e in edges)
    distress = 0.0
    worst: Edge | None = None
    for edge in edges:
        caller = situation.nodes[edge.caller]
        slow = 0.0 if caller.mix.routes_as_before else caller.strength(*LATENCIES)
        failing = (
            caller.strength(*ERRORS) * (1.0 - _blamed_on_others(situation, edge)) if _concerned(caller, edge) else 0.0
        )
        hurt = max(slow, failing, edge.strength(f.CALL_ERROR_RATE))
        inferred = max(edge.expected, edge.usual if hurt > IN_DISTRESS else 0.0)
        expected += inferred if math.isnan(edge.attempted) else max(edge.attempted, edge.observed)
        if hurt > distress:
            distress, worst = hurt, edge
    z = missing_z(expected, observed, max((e.per_request_before for e in edges), default=0.0))
    if worst is None or distress < LEAST_DISTRESS or z < SILENCE_SIGMAS or observed > FEW_CALLS * expected:
        return None
    asked = min(1.0, ASKED_ENOUGH * _unanswered(situation, node, edges) / (expected - observed))
    if asked < LEAST_ASKED:
        return None
    slow = _waits(situation, worst)
    strength = SILENCE_WEIGHT * math.log1p(z) * (1 - observed / expected) * min(1.0, distress) * asked
    text = (
        f"{node.name} answered {observed:.0f} of about {expected:.0f} calls expected since onset, "
        f"while {worst.caller} {'waits' if slow else 'fails'}"
    )
    kind = CauseKind.CRASH if not slow else CauseKind.LATENCY if _answers_late(node) else CauseKind.HANG
    return Finding(node.name, "silence", strength, text, kind), worst.caller


def _answers_late(node: Node) -> bool:
    """Whether a service goes on answering, its typical request so late that its callers give up: it is slow, and does not hang. Whoever hangs in
    part answers the rest in good time."""
    typical = strongest(node, f.LATENCY_P50, f.METRIC_LATENCY_P50)
    return (
        node.lately.get(f.REQUEST_RATE, 0.0) > 0.0
        and typical is not None
        and typical.after > TIMEOUT_TIMES * typical.before
        and typical.strength() > LEAST_DISTRESS
    )


def _waits(situation: Situation, edge: Edge) -> bool:
    """Whether a caller waits for the answers that don't come: by its calls, where these fail; else by what it shows itself. Who is refused knows at
    once; where requests take as long as time-outs do they are waited for, however many of them fail in the end."""
    if edge.strength(f.CALL_ERROR_RATE) > LEAST_DISTRESS and f.CALL_LATENCY_P95 in edge.shifts:
        return edge.strength(f.CALL_LATENCY_P95) > FAST
    caller = situation.nodes[edge.caller]
    return _timing_out(caller) > 0.0 or caller.strength(*LATENCIES) > caller.strength(*ERRORS)


def answered(situation: Situation, edge: Edge) -> float:
    """Calls along an edge since the onset that the callee answered. A caller counts those, too, that were refused or given up: calls that
    failed, and that the callee does not tell of among all that it served, are none."""
    callee, failed = situation.nodes[edge.callee], edge.shifts.get(f.CALL_ERROR_RATE)
    served = callee.shifts.get(f.REQUEST_RATE)
    if failed is None or not failed.after > 0.0 or served is None or not callee.own or callee.observer:
        return edge.observed
    asked = sum(e.shifts[f.CALL_RATE].after for e in situation.into(edge.callee) if f.CALL_RATE in e.shifts)
    unserved = 1.0 - served.after / asked if asked > 0 else 0.0
    return edge.observed * (1.0 - min(max(unserved, 0.0), failed.after))


def _concerned(caller: Node, edge: Edge) -> bool:
    """Whether requests that fail at a caller are such as make this call; where routes don't tell, they may be."""
    if math.isnan(edge.failed):
        return True
    return edge.failed >= max(LEAST_EXPECTED, CONCERNED * _failing(caller) * _served(caller))


def hushed(situation: Situation, edge: Edge) -> bool:
    """Whether a callee that should have answered calls since the onset answered hardly any, and serves hardly anybody else."""
    due = edge.usual if math.isfinite(edge.usual) else edge.expected
    return (
        edge.per_request_before > OFTEN * edge.told
        and due >= max(1.0, LEAST_EXPECTED * edge.told)
        and answered(situation, edge) < FEW_CALLS * due
        and not _serves(situation.nodes[edge.callee])
    )


def _serves(node: Node) -> bool:
    """Whether a service itself tells that it serves about as many requests as ever."""
    rate = node.shifts.get(f.REQUEST_RATE)
    if rate is None or not node.own or not math.isfinite(rate.before):
        return False
    return rate.after > SERVES * rate.before


def _unanswered(situation: Situation, node: Node, edges: list[Edge]) -> float:
    """How many calls to a service are known, or seem, to have been made and not answered.

    Where a caller counts its calls, that is the answer. Else its requests must show it: those that are still out (it serves fewer
    than usual), that failed, or that took as long as time-outs do. A service that goes on answering in good time is no reason for
    its callers to wait, so of such a one only failures count.
    """
    answers = node.lately.get(f.REQUEST_RATE, 0.0) > 0 and node.strength(*LATENCIES, *ERRORS) < LEAST_DISTRESS
    found = 0.0
    for edge in edges:
        if not math.isnan(edge.attempted):
            found += max(0.0, edge.attempted - answered(situation, edge))
            continue
        caller = situation.nodes[edge.caller]
        rate = caller.shifts.get(f.REQUEST_RATE)
        if rate is None:
            continue
        found += edge.per_request_before * _out(caller, rate, answers=answers)
        found += _made_for_nothing(situation, edge, answers=answers)
    return found


def _out(caller: Node, rate: Shift, *, answers: bool) -> float:
    """Requests of a caller that are missing, and may be out still."""
    if answers:
        return 0.0
    usual = rate.before * rate.samples
    return max(0.0, usual - _served(caller) - math.sqrt(usual))


def _made_for_nothing(situation: Situation, edge: Edge, *, answers: bool) -> float:
    """Calls along an edge by requests that failed, or timed out, beyond the usual: those of their routes, where these tell. Requests that failed
    in a call to another may never have come to this one."""
    caller = situation.nodes[edge.caller]
    timing_out, left = 0.0 if answers else _timing_out(caller), 1.0 - _blamed_on_others(situation, edge)
    if math.isnan(edge.failed):
        return edge.per_request_before * _served(caller) * (left * _failing(caller) + timing_out)
    return left * edge.failed + (0.0 if caller.mix.routes_as_before else timing_out * edge.expected)


def _blamed_on_others(situation: Situation, edge: Edge) -> float:
    """The share of the caller's requests that failed in which a call to another failed, by their spans; 0 where these don't tell."""
    told = (e.blamed for e in situation.out(edge.caller) if e.callee != edge.callee)
    return min(1.0, math.fsum(share for share in told if share > 0.0))


def _served(node: Node) -> float:
    """Requests served since the onset."""
    rate = node.shifts.get(f.REQUEST_RATE)
    return 0.0 if rate is None else rate.after * rate.samples


def _failing(node: Node) -> float:
    """Share of requests that fail beyond the usual."""
    found = (node.shifts[n] for n in ERRORS if n in node.shifts)
    return max((s.after - (s.before if math.isfinite(s.before) else 0.0) for s in found), default=0.0)


def _timing_out(node: Node) -> float:
    """Share of requests that lately take as long as time-outs do: much longer than usual, and about a second at least."""
    for name, share in zip((f.LATENCY_P50, f.LATENCY_P95, f.LATENCY_P99), TIMING_OUT, strict=True):
        shift = node.shifts.get(name)
        now = node.lately.get(name, 0.0)
        if shift is not None and now - shift.before >= TIMEOUT_S and now > TIMEOUT_TIMES * shift.before:
            return share
    return 0.0


def missing_z(expected: float, observed: float, bunch: float) -> float:
    """How far fewer calls came than expected. Calls come in bunches (several per request), and what requests ask for varies by
    `MIX` in proportion, however many there are."""
    variance = max(expected, 1.0) * (1 + bunch) + (MIX * expected) ** 2
    return (expected - observed) / math.sqrt(variance)


def lost_traffic(node: Node) -> Shift | None:
    """That a service is asked for far less than before, and not because its requests are no longer all told of: a sampler that begins looks
    the same unless what the service writes or measures becomes less as well, or nothing comes at all. None where it is not."""
    rate = node.shifts.get(f.REQUEST_RATE)
    if rate is None or not node.own or not rate.after < ENTRY_LEFT * rate.before:
        return None
    lately = node.lately.get(f.REQUEST_RATE, rate.after)
    if lately > ENTRY_LEFT * rate.before:
        return None
    others = (node.shifts[n] for n in (f.LOG_RATE, f.METRIC_REQUEST_RATE) if n in node.shifts)
    borne_out = any(s.after < ENTRY_LEFT * s.before and s.strength(-1) > FELT for s in others)
    if borne_out:
        return rate if rate.samples >= MIN_WINDOWS else None
    return rate if lately == 0.0 and rate.samples >= ENTRY_WINDOWS else None


def _silent_entry(situation: Situation, node: Node) -> Iterator[Finding]:
    rate = strongest(node, f.REQUEST_RATE, f.METRIC_REQUEST_RATE, direction=-1)
    if rate is None or not node.own or rate.before < ENTRY_RATE:
        return
    in_part = rate.after > ENTRY_SILENT * rate.before
    if in_part and lost_traffic(node) is None:
        return
    # Nobody is seen calling it, so nobody can tell a silent service from absent users: half the evidence, unless its instances went.
    lost = lost_capacity(situation, node.name)
    text = f"{node.name}: {change(rate)}" + (f", since {lost}" if lost else "")
    share = (1.0 if lost else ENTRY_SHARE) * (1.0 - rate.after / rate.before)
    if in_part and not lost:  # it answers the others as before
        share *= ENTRY_SHARE
    kind = CauseKind.HANG if in_part else CauseKind.CRASH
    yield Finding(node.name, "silence", share * rate.strength(-1), text, kind)
