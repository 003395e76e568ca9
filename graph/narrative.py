"""Incidents in words: the path from where users feel it to the culprit, why rivals lost, and the story in one paragraph."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from contracts.events import Change, EvidenceGap, PathStep
from contracts.nodes import ON_NODE
from contracts.verdicts import CauseKind, GapKind, Severity
from graph.evidence.flags import in_words, suspected_flags
from graph.evidence.local import strongest
from graph.evidence.silence import ERRORS, LATENCIES
from graph.evidence.situation import Node, Situation
from graph.evidence.words import change
from graph.ranking import Suspect

KINDS = {
    CauseKind.CRASH: "stopped serving",
    CauseKind.HANG: "hangs",
    CauseKind.LATENCY: "became slow by itself",
    CauseKind.ERRORS: "fails or answers wrongly",
    CauseKind.SATURATION: "gets more demand than it can serve",
    CauseKind.LEAK: "is running out of a resource",
    CauseKind.BAD_RELEASE: "has been worse since a release",
    CauseKind.FLAG: "has been worse since a flag was changed",
    CauseKind.NETWORK: "loses time on the network",
    CauseKind.NODE: "troubles what runs on it",
    CauseKind.DEPENDENCY: "is a dependency in trouble",
    CauseKind.UNKNOWN: "departs from its usual behaviour",
}


def symptom(situation: Situation, name: str) -> str:
    """What a service shows, in a few words; "" where nothing."""
    node = situation.nodes.get(name)
    if node is None:
        return ""
    found = [s for s in (strongest(node, *ERRORS), strongest(node, *LATENCIES)) if s is not None and s.strength() > 0.2]
    if not found:
        return ""
    return change(max(found, key=lambda s: s.strength()))


def _hurt(node: Node) -> float:
    return node.strength(*ERRORS, *LATENCIES)


def path_to(situation: Situation, culprit: str, kind: CauseKind) -> tuple[PathStep, ...]:
    """From the entry point with a symptom to the culprit over calls whose services suffer, entry first.

    Among callers the one that suffers most is followed; a caller without symptoms ends the path.
    """
    steps = [culprit]
    while True:
        callers = [e.caller for e in situation.into(steps[-1]) if e.caller not in steps]
        best = max(callers, key=lambda n: (_hurt(situation.nodes[n]), n), default="")
        if not best or _hurt(situation.nodes[best]) < 0.2:
            break
        steps.append(best)
    steps.reverse()
    after = [*steps[1:], ""]
    return tuple(
        PathStep(service=a, symptom=symptom(situation, a) or ("" if b else KINDS[kind]), edge=f"{a} → {b}" if b else "")
        for a, b in zip(steps, after, strict=True)
    )


def path_of(situation: Situation, suspect: Suspect) -> tuple[PathStep, ...]:
    """The path to a suspect; to a node by way of the service there that is looked after first."""
    path = path_to(situation, suspect.service, suspect.kind)
    if suspect.ground is None:
        return path
    last = msgspec.structs.replace(path[-1], edge=f"{suspect.service} runs on {suspect.name}")
    step = PathStep(service=f"{ON_NODE}{suspect.name}", symptom=f"troubles {_listed(suspect.services)}", edge="")
    return (*path[:-1], last, step)


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def path_text(path: Sequence[PathStep]) -> str:
    """`gateway (latency …) → orders (errors …)`."""
    return " → ".join(f"{p.service} ({p.symptom})" if p.symptom else p.service for p in path)


def ruled_out(situation: Situation, rival: Suspect, leader: Suspect) -> str:
    """Why a rival lost against the leader."""
    name, node = rival.name, situation.nodes[rival.service]
    if node.observer:
        return f"{name}: only a client's view of what it calls"
    if leader.ground is not None and name in leader.services:
        return f"{name}: its trouble is that of {leader.name}, on which it runs"
    if rival.ground is not None and rival.findings:
        times = leader.score / max(rival.score, 1e-6)
        return f"{name}: {_listed(rival.services)} are sick there, but {leader.name} has {times:.2g}× the evidence"
    explained = [x for x in rival.findings if x.explained_by]
    if explained:
        by = explained[0].explained_by
        what = {"errors": "errors are", "log_errors": "error records are", "new_logs": "new log texts are"}.get(
            explained[0].channel, "latency is"
        )
        return f"{name}: its {what} explained by its callee {by}{_how_much(situation, by, name)}"
    if rival.score < 0.15 and leader.service in _reach(situation, name):
        return f"{name}: nothing of its own departs from the usual; it only calls towards {leader.service}"
    if rival.findings:
        times = leader.score / max(rival.score, 1e-6)
        return f"{name}: {rival.findings[0].text}, but {leader.name} has {times:.2g}× the evidence"
    return f"{name}: shows nothing unusual"


def _how_much(situation: Situation, by: str, name: str) -> str:
    theirs, mine = _hurt(situation.nodes[by]), _hurt(situation.nodes[name])
    if mine > 0 and theirs > 1.2 * mine:
        return f", which deviates {theirs / mine:.2g}× more"
    return ""


def _reach(situation: Situation, name: str) -> set[str]:
    found, queue = {name}, deque([name])
    while queue:
        for edge in situation.out(queue.popleft()):
            if edge.callee not in found:
                found.add(edge.callee)
                queue.append(edge.callee)
    return found


def story(
    situation: Situation,
    suspects: Sequence[Suspect],
    severity: Severity,
    radius: Sequence[str],
    changes: Sequence[Change],
    broken: str = "",
) -> str:
    """One paragraph: who, what, how sure, why, on which path, what users are promised and do not get (`broken`), and what else was
    considered."""
    leader = suspects[0]
    reasons = "; ".join(x.text for x in leader.findings[:3])
    parts = [f"{leader.name} {KINDS[leader.kind]} ({100 * leader.probability:.0f} % sure): {reasons}."]
    path = path_of(situation, leader)
    if len(path) > 1:
        parts.append(f"It is felt along {path_text(path)}.")
    if changes and leader.kind is CauseKind.BAD_RELEASE:
        parts.append(f"Changed shortly before: {changes[-1].text or changes[-1].service}.")
    if leader.kind is CauseKind.FLAG:
        turned = suspected_flags(situation, leader.service)
        parts.append(f"Changed shortly before: {'; '.join(in_words(x.change) for x in turned)}.")
    if broken:
        parts.append(f"What is promised is not kept: {broken}.")
    rivals = [ruled_out(situation, s, leader) for s in suspects[1:3]]
    if rivals:
        parts.append(f"Ruled out: {'; '.join(rivals)}.")
    if radius:
        parts.append(
            f"Severity {severity.value}; affects {', '.join(radius[:5])}{' and others' if len(radius) > 5 else ''}."
        )
    return " ".join(parts)


_WEIGHTY: Final = (
    GapKind.NO_SPANS,
    GapKind.NO_SERVER_SPANS,
    GapKind.NO_CLIENT_SPANS,
    GapKind.SAMPLED,
    GapKind.UNNAMED_PEERS,
    GapKind.BROKEN_TRACES,
)
"""Gaps because of which a cause may be another; others make an answer later or poorer."""
_MOST_GAPS: Final = 3


def seen_in_part(gaps: Sequence[EvidenceGap]) -> str:
    """One sentence on what could not be seen of those whom a cause is about; "" where nothing of weight is missing."""
    weighty = sorted((g for g in gaps if g.certain and g.kind in _WEIGHTY), key=lambda g: _WEIGHTY.index(g.kind))
    if not weighty:
        return ""
    more = f", and {len(weighty) - _MOST_GAPS} more" if len(weighty) > _MOST_GAPS else ""
    said = "; ".join(f"{g.service}: {g.text}" for g in weighty[:_MOST_GAPS])
    return f"Seen only in part: {said}{more}."
