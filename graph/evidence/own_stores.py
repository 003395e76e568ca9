"""A database that one service alone uses, or overwhelms, after a release of that service: a part of it, and no suspect beside it.

A release that fails, is slow or asks too much shows at its own database as well, often more clearly than in itself: all connections are
taken, its processor is busy, calls to it fail. That such a database breaks by itself within seconds of its only user's release is far less
likely. Where it has other users, they fail with it, and ask for no more than before.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from contracts.features import CALL_RATE
from graph.evidence.finding import Finding
from graph.evidence.flags import suspected_flags
from graph.evidence.local import RELEASES
from graph.evidence.situation import Edge, Situation
from graph.judgement import OVERWHELMS, RELEASE_AFTER_S, RELEASE_JUST_S


def by_whom(situation: Situation, found: Iterable[Finding]) -> list[Finding]:
    """The same findings; what is found of such a database is found of whoever was released."""
    just = [c for c in situation.changes if -RELEASE_AFTER_S <= situation.age_s(c) <= RELEASE_JUST_S]
    released = {c.service for c in just if c.kind in RELEASES} | {x.change.service for x in suspected_flags(situation)}
    owners = {n: by for n in situation.nodes if (by := _owner(situation, n)) in released} if released else {}
    return [_moved(x, owners[x.service]) if x.service in owners else x for x in found]


def _moved(finding: Finding, owner: str) -> Finding:
    text = f"{finding.text}; {owner}, which was changed just before, uses it most"
    return dataclasses.replace(finding, service=owner, text=text)


def _owner(situation: Situation, name: str) -> str:
    """Whose doing it is what a database shows: its only user's, or that of the one that since the onset asks most of it, and far more than it
    did. "" where there is none."""
    calls = situation.into(name)
    if situation.nodes[name].kind != "database" or not calls:
        return ""
    most = max(calls, key=lambda edge: edge.observed)
    return most.caller if len(calls) == 1 or _overwhelms(most, sum(edge.observed for edge in calls)) else ""


def _overwhelms(edge: Edge, all_calls: float) -> bool:
    rate = edge.shifts.get(CALL_RATE)
    return rate is not None and rate.after > OVERWHELMS * rate.before and 2 * edge.observed > all_calls
