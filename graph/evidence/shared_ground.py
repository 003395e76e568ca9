"""Nodes and zones as suspects: what services that are sick at once have in common is what they run on.

A service speaks against a node if of several instances those there alone are sick, or if it runs there alone and shows a symptom of its own:
one that callees account for, or more demand of users, is none. Where callees account for what a service shows and those of its instances
that are elsewhere are well nevertheless, it speaks against the node, and less. It takes two (or one, and the cluster's own word), and somebody
who is well elsewhere; who runs there alone and is well speaks for the node.

Of who has instances there and elsewhere, as large a share of its calls is lost as of its instances where what they run on is gone: those elsewhere
answer as before. Who is silent, and whose callers are refused at once, waits for no callee, and speaks for itself.

A database of which nobody tells where it runs may run there as well. One that is sick at the same time speaks against a node that others
speak against already, as far as they do: it can't be the cause of what somebody suffers who does not call it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from contracts.events import CORDONED, WELL, Change
from contracts.external import EXTERNAL
from contracts.instance_parts import ENOUGH, ground_under
from contracts.nodes import Ground
from contracts.parts import Part
from contracts.verdicts import CauseKind
from graph.evidence.asked_more import asked_again, callers_above
from graph.evidence.finding import Finding
from graph.evidence.harm import serves_knowingly
from graph.evidence.lost_shares import Answers, answers_of, keeps_all, loses_share
from graph.evidence.silence import ERRORS, LATENCIES
from graph.evidence.situation import Node, Situation
from graph.judgement import (
    BEFELL,
    GROUND_ALIVE_NS,
    GROUND_ALONE,
    GROUND_SICK,
    GROUND_SPLIT,
    GROUND_SURE,
    GROUND_TOGETHER_NS,
    GROUND_UNPLACED,
    GROUND_WELL,
)

_OWN: Final = frozenset({"latency", "errors", "silence", "operation"})
_OTHERWISE: Final = frozenset({"release", "shrunk"})
"""Channels that explain what a service shows by something that has nothing to do with where it runs. So does `demand`, but where it is made by
callers that ask again."""
_TOLD: Final = ("node", "eviction")


@dataclass(frozen=True, slots=True)
class GroundWitness:
    """A service that is sick where it runs. `apart`: siblings of what is sick are well elsewhere; `counts`: how much it speaks against that;
    `lost`: what is asked there gets no answer."""

    service: str
    grounds: tuple[Ground, ...]
    apart: bool
    text: str
    counts: float
    lost: bool = False
    refuses: bool = False
    """Whether its callers are refused at once: then it waits for nobody."""


@dataclass(frozen=True, slots=True)
class SuspectedGround:
    """A node (or zone) of which services are sick: how far that is likelier than that each is by itself, 0 to 1, and what the cluster says."""

    node: str
    zone: str
    witnesses: tuple[GroundWitness, ...]
    share: float
    told: tuple[Finding, ...]
    unplaced: tuple[str, ...] = ()
    """Databases that are sick at the same time and may run there: where they run is not known."""
    placed: float = 1.0
    """How sure it would be without those, 0 to 1."""
    gone: bool = False
    """Whether what runs there answers nobody."""
    also: tuple[str, ...] = ()
    """Others that suffer of which instances run on the node, whatever accounts for it."""

    @property
    def name(self) -> str:
        """What it is called: a node by its name, a zone as one."""
        return self.node or f"zone {self.zone}"


def suspected_grounds(situation: Situation, found: Mapping[str, Sequence[Finding]]) -> list[SuspectedGround]:
    """Nodes and zones that what was found of services speaks against."""
    witnesses = [w for name, node in situation.nodes.items() if (w := _witness(situation, node, found))]
    unplaced = [n for n, node in situation.nodes.items() if _unplaced(node, found[n])]
    nodes = dict.fromkeys(g for w in witnesses for g in w.grounds if g.node)
    zones = dict.fromkeys(g.zone for g in nodes if g.zone)
    places = [*nodes, *(Ground("", zone) for zone in zones)]
    answers = {n: answers_of(situation, n) for n, node in situation.nodes.items() if node.own and node.grounds}
    losing = _losing(situation, answers, found) if any(w.lost for w in witnesses) else []
    suspects = [_suspected(situation, witnesses, unplaced, losing, answers, ground) for ground in places]
    return [s for s in suspects if s is not None]


def _losing(situation: Situation, answers: Mapping[str, Answers], found: Mapping[str, Sequence[Finding]]) -> list[Node]:
    """Services of which calls are lost while what answers does so as before, and that wait for nobody."""
    waits = {"latency", "silence", "waiting"}
    return [
        node
        for name, node in situation.nodes.items()
        if name in answers
        and answers[name].some_lost
        and node.strength(*LATENCIES) < GROUND_SICK
        and not any(x.channel in waits and x.explained_by for x in found[name])
    ]


def _witness(situation: Situation, node: Node, found: Mapping[str, Sequence[Finding]]) -> GroundWitness | None:
    of_it = found[node.name]
    if not node.own or node.observer or not node.grounds or any(x.channel in _OTHERWISE for x in of_it):
        return None
    if any(x.channel == "demand" for x in of_it) and not _asked_again(situation, node.name, found):
        return None
    explained = {x.kind for x in of_it if x.channel in ("latency", "errors") and x.explained_by}
    apart = next((x for x in of_it if x.channel == "instance"), None)
    if apart is not None and node.instances is not None and node.instances.well:
        sick = tuple(dict.fromkeys(ground_under(p) for p, _ in node.instances.sick))
        well = {ground_under(p).node for p in node.instances.well}
        if apart.kind not in explained:
            clear = all(g.node and g.node not in well for g in sick)
            return GroundWitness(node.name, sick, True, apart.text, 1.0) if clear else None
        # Whose requests have not ended yet is well only as far as is known: it may be the one that is sick, and those that ask it fail.
        serves = any(p.lately.asked >= ENOUGH and _alive(p, node) for p in node.instances.well)
        if serves and all(g.node and g.node not in well for g in sick):
            return GroundWitness(node.name, sick, True, apart.text, GROUND_SPLIT)
    own = [x for x in of_it if x.channel in _OWN and not x.explained_by and x.strength >= GROUND_SICK]
    began_ns = node.onset_ns or (situation.onset_ns if any(x.channel == "silence" for x in own) else 0)
    if not own or not began_ns or abs(began_ns - situation.onset_ns) > GROUND_TOGETHER_NS:
        return None  # who is silent since the onset may have told of no anomaly
    says = max(own, key=lambda x: x.strength)
    lost = says.channel == "silence"
    refuses = lost and says.kind is CauseKind.CRASH
    return GroundWitness(node.name, node.grounds, False, says.text, GROUND_ALONE, lost, refuses)


def _alive(part: Part, node: Node) -> bool:
    """Whether an instance was heard of about as lately as its siblings: one that is gone was well when it was heard of last."""
    told = node.instances
    parts = () if told is None else (*told.well, *(p for p, _ in told.sick))
    return max((p.heard_ns for p in parts), default=0) - part.heard_ns <= GROUND_ALIVE_NS


def _asked_again(situation: Situation, name: str, found: Mapping[str, Sequence[Finding]]) -> bool:
    """Whether a service is asked for more by callers that ask again what they did not get, and not by users, nor by a caller that does
    otherwise than before."""
    changed = any(x.channel == "calls" for caller in callers_above(situation, name) for x in found[caller])
    return not changed and asked_again(situation, name)


def _unplaced(node: Node, found: Sequence[Finding]) -> bool:
    """Whether it is a sick database (or broker) of ours that may run anywhere."""
    if node.own or node.observer or node.grounds or node.name.startswith(EXTERNAL):
        return False
    return any(x.channel in _OWN and not x.explained_by and x.strength >= GROUND_SICK for x in found)


def _suspected(
    situation: Situation,
    witnesses: Iterable[GroundWitness],
    unplaced: Iterable[str],
    losing: Iterable[Node],
    answers: Mapping[str, Answers],
    ground: Ground,
) -> SuspectedGround | None:
    there = _agreeing([w for w in witnesses if all(_within(g, ground) for g in w.grounds)])
    called = {w.service: _reached(situation, w.service) for w in there}
    # Who runs there alone and calls another of them may only suffer from that one.
    kept = [
        w for w in there if w.apart or w.refuses or not any(o.service in called[w.service] for o in there if o is not w)
    ]
    gone = any(w.lost for w in kept)
    kept += _sharing(losing, answers, ground, {w.service for w in there}) if gone else []
    beside = tuple(n for n in unplaced if any(w.apart or w.refuses or n not in called[w.service] for w in kept))
    told = tuple(_told(situation, ground, {w.service for w in kept}))
    spread = len({g.node for w in kept for g in w.grounds})
    found = SuspectedGround(ground.node, ground.zone, tuple(kept), 1.0, told, beside, gone=gone)
    proven = situation.proven.get(found.name, 0.0) if gone else 0.0
    if not kept or (not proven and ((len(kept) + len(beside) < 2 and not told) or (not ground.node and spread < 2))):
        return None
    others = _well_elsewhere(situation, ground) or (gone and _answers_elsewhere(situation, ground, answers))
    if not told and not any(w.apart for w in kept) and not (others or proven):
        return None
    placed = math.fsum(w.counts for w in kept)
    speak = placed + GROUND_UNPLACED * len(beside)
    against = sum(1 for n in situation.nodes.values() if _speaks_for(n, ground, answers.get(n.name) if gone else None))
    if gone:
        against += sum(1 for n in losing if not any(_within(g, ground) for g in n.grounds))
    sure = 1.0 if told else min(1.0, speak / GROUND_SURE)
    share = max(proven, sure * speak / (speak + GROUND_WELL * against))
    alone = 1.0 if told else min(1.0, placed / GROUND_SURE)
    also = tuple(_also_there(situation, ground, {w.service for w in kept}, {w.service for w in there}))
    return replace(found, share=share, placed=alone, also=also)


def _sharing(
    losing: Iterable[Node], answers: Mapping[str, Answers], ground: Ground, known: set[str]
) -> Iterator[GroundWitness]:
    """Services with instances there and elsewhere that lose as large a share of their calls as runs there."""
    for node in losing:
        inside = tuple(g for g in node.grounds if _within(g, ground))
        if node.name in known or not inside or len(inside) == len(node.grounds):
            continue
        given = answers[node.name]
        if loses_share(given, len(inside) / len(node.grounds)):
            text = f"{node.name} answered {given.answered:.0f} of {given.made:.0f} calls, with {len(inside)} of {len(node.grounds)} nodes there"
            yield GroundWitness(node.name, inside, True, text, GROUND_ALONE, lost=True)


def _also_there(situation: Situation, ground: Ground, known: set[str], sick: set[str]) -> Iterator[str]:
    """Who else suffers and runs on a node, at least with one instance: by name. `sick`: of whom that is known already."""
    for name, node in sorted(situation.nodes.items()):
        there = bool(ground.node) and any(g.node == ground.node for g in node.grounds)
        suffers = name in sick or node.strength(*ERRORS, *LATENCIES) >= GROUND_SICK
        if there and node.own and name not in known and suffers:
            yield name


def _agreeing(there: list[GroundWitness]) -> list[GroundWitness]:
    """The same witnesses, without one whose trouble callees account for where no other agrees that its instances there alone are sick: which of
    them a sick callee shows at first is chance."""
    apart = [w for w in there if w.apart]
    alone = len(apart) == 1 and apart[0].counts < 1.0
    return [w for w in there if not w.apart] if alone else there


def _speaks_for(node: Node, ground: Ground, answers: Answers | None) -> bool:
    """Whether a service is well there: all of it, or those of its instances that run there, while others are sick elsewhere; where what is there
    is said to be gone (`answers`), whether it answers all that it is asked though it would not."""
    inside = sum(1 for g in node.grounds if _within(g, ground))
    if _well(node) and inside == len(node.grounds):
        return True
    if answers is not None and inside:
        return keeps_all(answers, inside / len(node.grounds))
    told = node.instances
    if told is None or not told.sick or not told.well:
        return False
    sick_there = any(_within(ground_under(p), ground) for p, _ in told.sick)
    return not sick_there and any(
        _within(ground_under(p), ground) and p.lately.asked >= ENOUGH and _alive(p, node) for p in told.well
    )


def _within(ground: Ground, other: Ground) -> bool:
    """Whether what runs on one runs on (in) the other."""
    return ground.node == other.node if other.node else ground.zone == other.zone


def _well(node: Node) -> bool:
    """Whether it is known that a service serves as before, and where it runs."""
    healthy = serves_knowingly(node) and not node.onset_ns and node.instances is None
    return bool(node.grounds) and healthy and node.strength(*ERRORS, *LATENCIES) < GROUND_SICK


def _well_elsewhere(situation: Situation, ground: Ground) -> bool:
    return any(_well(n) and not any(_within(g, ground) for g in n.grounds) for n in situation.nodes.values())


def _answers_elsewhere(situation: Situation, ground: Ground, answers: Mapping[str, Answers]) -> bool:
    """Whether somebody who runs elsewhere answers all that it is asked, be it that whom it calls does not."""
    nodes = (situation.nodes[name] for name, given in answers.items() if keeps_all(given, 1.0))
    return any(not any(_within(g, ground) for g in n.grounds) for n in nodes)


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
