"""Nodes and zones as suspects: what services that are sick at once have in common is what they run on.

A service speaks against a node if of several instances those there alone are sick, or if it runs there alone and shows a symptom of its own:
one that callees account for, or more demand, is none. It takes two (or one, and the cluster's own word), and somebody who is well elsewhere;
who runs there alone and is well speaks for the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from contracts.events import CORDONED, WELL, Change
from contracts.instance_parts import ground_under
from contracts.nodes import Ground
from graph.evidence.finding import Finding
from graph.evidence.harm import serves_knowingly
from graph.evidence.silence import ERRORS, LATENCIES
from graph.evidence.situation import Node, Situation
from graph.judgement import (
    BEFELL,
    GROUND_ALONE,
    GROUND_SICK,
    GROUND_SURE,
    GROUND_TOGETHER_NS,
    GROUND_WELL,
)

_OWN: Final = frozenset({"latency", "errors", "silence", "operation"})
_OTHERWISE: Final = frozenset({"demand", "release", "shrunk"})
"""Channels that explain what a service shows by something that has nothing to do with where it runs."""
_TOLD: Final = ("node", "eviction")


@dataclass(frozen=True, slots=True)
class GroundWitness:
    """A service that is sick where it runs. `apart`: siblings of what is sick are well elsewhere."""

    service: str
    grounds: tuple[Ground, ...]
    apart: bool
    text: str


@dataclass(frozen=True, slots=True)
class SuspectedGround:
    """A node (or zone) of which services are sick: how far that is likelier than that each is by itself, 0 to 1, and what the cluster says."""

    node: str
    zone: str
    witnesses: tuple[GroundWitness, ...]
    share: float
    told: tuple[Finding, ...]

    @property
    def name(self) -> str:
        """What it is called: a node by its name, a zone as one."""
        return self.node or f"zone {self.zone}"


def suspected_grounds(situation: Situation, found: Mapping[str, Sequence[Finding]]) -> list[SuspectedGround]:
    """Nodes and zones that what was found of services speaks against."""
    witnesses = [w for name, node in situation.nodes.items() if (w := _witness(situation, node, found[name]))]
    nodes = dict.fromkeys(g for w in witnesses for g in w.grounds if g.node)
    zones = dict.fromkeys(g.zone for g in nodes if g.zone)
    suspects = [_suspected(situation, witnesses, ground) for ground in nodes]
    suspects += [_suspected(situation, witnesses, Ground("", zone)) for zone in zones]
    return [s for s in suspects if s is not None]


def _witness(situation: Situation, node: Node, found: Sequence[Finding]) -> GroundWitness | None:
    if not node.own or node.observer or not node.grounds or any(x.channel in _OTHERWISE for x in found):
        return None
    explained = {x.kind for x in found if x.channel in ("latency", "errors") and x.explained_by}
    apart = next((x for x in found if x.channel == "instance" and x.kind not in explained), None)
    if apart is not None and node.instances is not None and node.instances.well:
        sick = tuple(dict.fromkeys(ground_under(p) for p, _ in node.instances.sick))
        well = {ground_under(p).node for p in node.instances.well}
        return (
            None
            if any(not g.node or g.node in well for g in sick)
            else GroundWitness(node.name, sick, True, apart.text)
        )
    own = [x for x in found if x.channel in _OWN and not x.explained_by and x.strength >= GROUND_SICK]
    began_ns = node.onset_ns or (situation.onset_ns if any(x.channel == "silence" for x in own) else 0)
    if not own or not began_ns or abs(began_ns - situation.onset_ns) > GROUND_TOGETHER_NS:
        return None  # who is silent since the onset may have told of no anomaly
    return GroundWitness(node.name, node.grounds, False, max(own, key=lambda x: x.strength).text)


def _suspected(situation: Situation, witnesses: Iterable[GroundWitness], ground: Ground) -> SuspectedGround | None:
    there = [w for w in witnesses if all(_within(g, ground) for g in w.grounds)]
    called = {w.service: _reached(situation, w.service) for w in there}
    # Who runs there alone and calls another of them may only suffer from that one.
    kept = [w for w in there if w.apart or not any(o.service in called[w.service] for o in there if o is not w)]
    told = tuple(_told(situation, ground, {w.service for w in kept}))
    spread = len({g.node for w in kept for g in w.grounds})
    if not kept or (len(kept) < 2 and not told) or (not ground.node and spread < 2):
        return None
    if not told and not any(w.apart for w in kept) and not _well_elsewhere(situation, ground):
        return None
    speak = sum(1.0 if w.apart else GROUND_ALONE for w in kept)
    well = sum(1 for n in situation.nodes.values() if _well(n) and all(_within(g, ground) for g in n.grounds))
    sure = 1.0 if told else min(1.0, speak / GROUND_SURE)
    return SuspectedGround(ground.node, ground.zone, tuple(kept), sure * speak / (speak + GROUND_WELL * well), told)


def _within(ground: Ground, other: Ground) -> bool:
    """Whether what runs on one runs on (in) the other."""
    return ground.node == other.node if other.node else ground.zone == other.zone


def _well(node: Node) -> bool:
    """Whether it is known that a service serves as before, and where it runs."""
    healthy = serves_knowingly(node) and not node.onset_ns and node.instances is None
    return bool(node.grounds) and healthy and node.strength(*ERRORS, *LATENCIES) < GROUND_SICK


def _well_elsewhere(situation: Situation, ground: Ground) -> bool:
    return any(_well(n) and not any(_within(g, ground) for g in n.grounds) for n in situation.nodes.values())


def _reached(situation: Situation, name: str) -> set[str]:
    """Whom a service calls, and they in turn."""
    found: set[str] = set()
    queue = [name]
    while queue:
        for edge in situation.out(queue.pop()):
            if edge.callee not in found:
                found.add(edge.callee)
                queue.append(edge.callee)
    return found - {name}


def _told(situation: Situation, ground: Ground, services: set[str]) -> Iterator[Finding]:
    """What the cluster says of a node around the onset: not ready, short of something, pods evicted from it."""
    for kind in _TOLD:
        about = [c for c in situation.changes if c.kind == kind and c.service in services and _about(c, ground.node)]
        if about:
            yield Finding(about[-1].service, kind, BEFELL[kind][0], about[-1].text or f"{kind} of {ground.node}")


def _about(change: Change, node: str) -> bool:
    if not node:
        return False
    if change.kind == "node":
        return change.subject == f"node/{node}" and change.after not in (WELL, CORDONED)
    return change.before == node
