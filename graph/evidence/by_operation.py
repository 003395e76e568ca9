"""The channel of operations: one route, topic or kind of statement of a service that is slow or fails, while the rest of it is as usual.

Detection tells of it by name (`models.operation_watch` judges); the service's own sums may hide it. What a callee shows of the same kind
accounts for it, as it does for symptoms of whole services.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from contracts import features as f
from contracts.events import Anomaly
from contracts.verdicts import CauseKind
from graph.evidence.explained import Muted
from graph.evidence.finding import Finding
from graph.evidence.silence import ERRORS, LATENCIES
from graph.evidence.situation import Node, Situation
from graph.judgement import CALLEE_LEAST, MOSTLY, OPERATION_MOST, SILENT_FROM, UNEXPLAINED


def operations(situation: Situation, muted: Muted) -> Iterator[Finding]:
    """Operations that stand out, the surest of each service. `muted`: how surely services are silent."""
    for node in situation.nodes.values():
        worst = worst_operation(node)
        if worst is None:
            continue
        failing = fails(worst)
        strength = _strength(worst)
        callee = _callee_too(situation, node, muted, failing=failing)
        by_itself = node.strength(*(ERRORS if failing else LATENCIES))
        kind = CauseKind.ERRORS if failing else CauseKind.LATENCY
        if callee:
            yield Finding(node.name, "operation", UNEXPLAINED * strength, worst.text, kind, callee)
        elif by_itself >= strength:  # told by the whole service already: here is where
            yield Finding(node.name, "operation", UNEXPLAINED * strength, worst.text, kind)
        else:
            yield Finding(node.name, "operation", strength - by_itself, worst.text, kind)


def worst_operation(node: Node) -> Anomaly | None:
    """The surest of a service's operations that stand out."""
    return max(node.operations, key=lambda a: (a.decades, a.operation), default=None)


def fails(anomaly: Anomaly) -> bool:
    """Whether an operation fails, rather than being slow."""
    return anomaly.contributions[0].feature == f.ERROR_RATE


def _strength(anomaly: Anomaly) -> float:
    part = anomaly.contributions[0]
    value = part.value or 0.0
    found = 1.0 + value if fails(anomaly) else math.log1p(value / max(part.high, 1e-9))
    return min(OPERATION_MOST, found)


def _callee_too(situation: Situation, node: Node, muted: Muted, *, failing: bool) -> str:
    """A callee that shows the same, that does not answer, or with whose calls most requests fail that do: then an operation is slow, too,
    because it waits and asks again. "" where there is none."""
    suffers = node.strength(*ERRORS) > CALLEE_LEAST
    for edge in situation.out(node.name):
        callee = situation.nodes[edge.callee]
        names = (*ERRORS, f.CALL_ERROR_RATE) if failing else (*LATENCIES, f.CALL_LATENCY_P95)
        shown = max(callee.strength(*names), edge.strength(*names))
        if shown > CALLEE_LEAST or any(fails(a) is failing for a in callee.operations):
            return callee.name
        if edge.unanswered or muted.get(edge.callee, 0.0) > SILENT_FROM or (suffers and edge.blamed >= MOSTLY):
            return callee.name
    return ""
