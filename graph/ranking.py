"""Which service caused it: reasons from all channels, weighed, as probabilities over candidates.

A candidate's score is the sum of `WEIGHTS[channel] × strength` over its findings, channels of the same fault counted with
diminishing returns (the strongest full, further ones half). Scores become probabilities together with a background that stands for
"none of these": weak evidence leaves the mass there, and less so where users suffer. `graph.judgement` has the weights, and says where
they come from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from contracts.verdicts import CauseKind
from graph.evidence.by_operation import operations
from graph.evidence.complaints import complained_of
from graph.evidence.finding import Finding
from graph.evidence.flags import FLAG
from graph.evidence.harm import Reach, harm_of, reaches, serves_knowingly
from graph.evidence.local import local
from graph.evidence.messages import stalled
from graph.evidence.own_stores import by_whom
from graph.evidence.shared_ground import SuspectedGround, suspected_grounds
from graph.evidence.silence import silence
from graph.evidence.situation import Node, Situation
from graph.evidence.spread import spread
from graph.judgement import (
    APART_EXPLAINED,
    BACKGROUND,
    DEPENDENCY_SHARE,
    DIMINISHING,
    GROUND_EXPLAINED,
    HARMED_BACKGROUND,
    INNOCENT,
    LEAK_VOTES,
    LEAST_FINDING,
    MOST_PRIOR,
    OBSERVER_SHARE,
    PRIOR_FULL,
    TEMPERATURE,
    VIOLATED_BACKGROUND,
    VIOLATED_TEMPERATURE,
    WEIGHTS,
)

SYMPTOMS: Final = ("latency", "errors", "silence", "network", "pattern", "operation", "missing_logs")
"""Channels that show that service itself suffers; resources, logs and releases alone only hint."""
CHANGED: Final = (CauseKind.BAD_RELEASE, CauseKind.FLAG)
"""Causes that are what somebody changed."""
PRIORS: Final = ("release", "flag", "shrunk", "oom", "restart", "eviction", "start", "probe", "scheduling", "node")
"""Channels of what was done to a service or befell its instances: they tip the scale, and are nothing by themselves."""


@dataclass(frozen=True, slots=True)
class Weighing:
    """The numbers of the ranking: score for each unit of strength by channel, what each further reason of one kind counts, score per nat of
    probability (and where an objective is known to be violated), and the score of "none of these": in quiet, where users suffer, and where
    an objective is known to be violated."""

    weights: Mapping[str, float]
    diminishing: float
    temperature: float
    violated_temperature: float
    background: float
    harmed_background: float
    violated_background: float


STANDARD: Final = Weighing(
    WEIGHTS,
    DIMINISHING,
    TEMPERATURE,
    VIOLATED_TEMPERATURE,
    BACKGROUND,
    HARMED_BACKGROUND,
    VIOLATED_BACKGROUND,
)
"""The numbers of `graph.judgement`; `tools/learn_weights.py` tries others."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A candidate with all that was found about it. `probability` is of being the root cause."""

    service: str
    kind: CauseKind
    score: float
    probability: float
    findings: tuple[Finding, ...]
    ground: SuspectedGround | None = None
    """What it runs on, where that is the candidate; then `service` is the one there that is to be looked after first."""

    @property
    def name(self) -> str:
        """What the candidate is called: a service, or what several run on."""
        return self.service if self.ground is None else self.ground.name

    @property
    def there(self) -> tuple[str, ...]:
        """Who is to be looked after where several suffer from what they run on: those that speak against it, then the others."""
        return () if self.ground is None else (*self.services, *self.ground.also)

    @property
    def services(self) -> tuple[str, ...]:
        """Whom it is about."""
        return (self.service,) if self.ground is None else tuple(w.service for w in self.ground.witnesses)


def findings(situation: Situation) -> list[Finding]:
    """What all channels say, in a fixed order."""
    silent = [*silence(situation), *stalled(situation), *complained_of(situation)]
    muted = {x.service: x.strength for x in silent}
    reach = reaches(situation, muted)
    found = (*spread(situation, silent, muted, reach), *operations(situation, muted), *local(situation))
    borne_out = (_borne_out(situation, x, reach) for x in _by_callees(found))
    return by_whom(situation, (x for x in borne_out if x.strength > LEAST_FINDING))


def _by_callees(found: tuple[Finding, ...]) -> Iterator[Finding]:
    """The same findings: where callees account for what a service shows, that one of its instances shows it and others do not yet says little."""
    explained = {(x.service, x.kind) for x in found if x.channel in ("latency", "errors") and x.explained_by}
    for x in found:
        apart = x.channel == "instance" and (x.service, x.kind) in explained
        yield dataclasses.replace(x, strength=APART_EXPLAINED * x.strength) if apart else x


def _borne_out(situation: Situation, finding: Finding, reach: Mapping[str, Reach]) -> Finding:
    """A hint as far as what users feel arrives at its service: being busy harms nobody, and who is known to serve as before is innocent
    of it. Where it is not known how a service serves, nothing speaks against a hint."""
    if finding.channel in (*SYMPTOMS, *PRIORS) or not serves_knowingly(situation.nodes[finding.service]):
        return finding
    felt = max(r.felt(finding.service) for r in reach.values())
    return dataclasses.replace(finding, strength=finding.strength * max(INNOCENT, felt))


def rank(situation: Situation, found: Iterable[Finding] | None = None, harmed: bool = False) -> list[Suspect]:
    """Candidates, the most probable first; ties by onset, then by name. `harmed`: users are known to suffer."""
    by_service: dict[str, list[Finding]] = {n: [] for n in situation.nodes}
    for finding in findings(situation) if found is None else found:
        if finding.service in by_service:
            by_service[finding.service].append(finding)
    scores = {n: score(situation.nodes[n], list_) for n, list_ in by_service.items()}
    grounds = {g.name: (g, s) for g, s in _grounds(situation, by_service, scores)}
    for name, share in _explained([g for g, _ in grounds.values()]).items():  # what it runs on accounts for it
        scores[name] *= 1.0 - (1.0 - GROUND_EXPLAINED) * share
    suspected = {_key(n): s for n, (_, s) in grounds.items()}
    chances = probabilities({**scores, **suspected}, background_of(situation, harmed), violated=bool(situation.harm))
    suspects = [
        _suspect(n, kind_of(situation.nodes[n], by_service[n]), s, chances[n], _by_weight(by_service[n]))
        for n, s in scores.items()
    ]
    suspects += [_on_ground(situation, g, s, chances[_key(n)], scores) for n, (g, s) in grounds.items()]
    return sorted(suspects, key=lambda s: (-round(s.score, 6), situation.nodes[s.service].onset_ns or math.inf, s.name))


def _suspect(name: str, kind: CauseKind, value: float, chance: float, found: list[Finding]) -> Suspect:
    """A service as a candidate, as probable as it is that it is to blame, and by that kind of fault, as sure as that is told."""
    sure = max((x.sure for x in found if x.kind is kind), default=1.0)
    return Suspect(name, kind, value, sure * chance, tuple(found))


def _key(ground: str) -> str:
    """No service is called that."""
    return f"\0{ground}"


def _explained(grounds: Iterable[SuspectedGround]) -> Mapping[str, float]:
    """How far what services run on accounts for their trouble, 0 to 1, by their names."""
    shares: dict[str, float] = {}
    for ground in grounds:
        for name in (*(w.service for w in ground.witnesses), *ground.unplaced):
            shares[name] = max(ground.share, shares.get(name, 0.0))
    return shares


def _grounds(
    situation: Situation, found: Mapping[str, list[Finding]], scores: Mapping[str, float]
) -> list[tuple[SuspectedGround, float]]:
    """What services run on, as candidates with their scores: the troubles of those there are reasons of one kind, those of databases that may run
    there as far as the others are. Each trouble counts for one of them, the one that accounts for most."""
    scored = []
    for ground in suspected_grounds(situation, found):
        there = [scores[w.service] for w in ground.witnesses]
        there += [ground.placed * scores[name] for name in ground.unplaced]
        troubles = ground.share * _diminishing(there, STANDARD)
        told = min(MOST_PRIOR, _diminishing([weight(x) for x in ground.told], STANDARD))
        scored.append((ground, troubles + told * min(1.0, troubles / PRIOR_FULL)))
    chosen: list[tuple[SuspectedGround, float]] = []
    for ground, value in sorted(scored, key=lambda gs: (-gs[1], gs[0].name)):
        taken = {w.service for g, _ in chosen for w in g.witnesses}
        if not any(w.service in taken for w in ground.witnesses):
            chosen.append((ground, value))
    return chosen


def _on_ground(
    situation: Situation, ground: SuspectedGround, value: float, chance: float, scores: Mapping[str, float]
) -> Suspect:
    """A node as a candidate. Who was moved off it since is looked after no more."""
    names = sorted((w.service for w in ground.witnesses), key=lambda n: (situation.nodes[n].moved, -scores[n], n))
    texts = "; ".join(w.text for w in sorted(ground.witnesses, key=lambda w: names.index(w.service)))
    well = "what runs elsewhere is well" if any(w.apart for w in ground.witnesses) else "services elsewhere are well"
    may = f"; {', '.join(ground.unplaced)}, of which it is not known, may run there, too" if ground.unplaced else ""
    seen = Finding(names[0], "ground", value, f"on {ground.name} at once: {texts}{may}; {well}", CauseKind.NODE)
    return Suspect(names[0], CauseKind.NODE, value, chance, (seen, *ground.told), ground)


def _by_weight(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda x: (-abs(weight(x)), x.channel, x.text))


def weight(finding: Finding) -> float:
    """A finding's part in its candidate's score, before diminishing returns."""
    return WEIGHTS[finding.channel] * finding.strength


def score(node: Node, found: Iterable[Finding], by: Weighing = STANDARD) -> float:
    """A candidate's score: weighted reasons with diminishing returns, hints only beside symptoms in full."""
    symptoms: list[float] = []
    hints: list[float] = []
    priors: list[float] = []
    for x in found:
        of_kind = symptoms if x.channel in SYMPTOMS else priors if x.channel in PRIORS else hints
        of_kind.append(by.weights[x.channel] * x.strength)
    total = _diminishing(symptoms, by) + _diminishing(hints, by)
    # Priors tip the scale between services that show something, and are nothing by themselves.
    total += min(MOST_PRIOR, _diminishing(priors, by)) * min(1.0, total / PRIOR_FULL)
    if node.observer:
        return OBSERVER_SHARE * total
    return total if node.own else DEPENDENCY_SHARE * total


def _diminishing(weights: list[float], by: Weighing) -> float:
    return sum(w * by.diminishing**i for i, w in enumerate(sorted(weights, reverse=True)))


def probabilities(
    scores: Mapping[str, float], background: float, by: Weighing = STANDARD, *, violated: bool = False
) -> dict[str, float]:
    """Probabilities of the candidates; what is missing to 1 is the background's. Who shows nothing has none, so that it does not
    matter how many others are well."""
    temperature = by.violated_temperature if violated else by.temperature
    top = max([background, *scores.values()])
    mass = {n: _mass(s, top, temperature) for n, s in scores.items()}
    total = math.fsum(mass.values()) + _mass(background, top, temperature)
    return {n: m / total for n, m in mass.items()}


def _mass(score_: float, top: float, temperature: float) -> float:
    """Odds of a score against none, over those of `top` (so that nothing overflows)."""
    return math.exp((score_ - top) / temperature) - math.exp(-top / temperature) if score_ > 0 else 0.0


def background_of(situation: Situation, harmed: bool = False) -> float:
    """The score of "none of these": something has to account for harm, while in quiet all that is unusual may be chance."""
    felt = 1.0 if harmed else min(1.0, harm_of(situation))
    return background(felt, violated=bool(situation.harm))


def background(felt: float, by: Weighing = STANDARD, *, violated: bool = False) -> float:
    """The score of "none of these" where users feel so much harm (0 to 1)."""
    return by.violated_background if violated else by.background - (by.background - by.harmed_background) * felt


def kind_of(node: Node, found: list[Finding]) -> CauseKind:
    """The kind of fault that a candidate's reasons speak for."""
    if not node.own:
        return CauseKind.DEPENDENCY
    votes: dict[CauseKind, float] = {}
    for finding in found:
        if finding.kind is not None:
            votes[finding.kind] = votes.get(finding.kind, 0.0) + weight(finding)
    if (since := _since_changed(votes, found)) is not None:
        return since
    lost = sum(
        weight(x) for x in found if x.channel == "network"
    )  # what is lost is asked for again: that is no more demand
    leak, full = votes.get(CauseKind.LEAK, 0.0), votes.get(CauseKind.SATURATION, 0.0)
    asked_more = any(x.channel == "demand" for x in found)
    if full > lost and (asked_more or (full > leak and any(x.channel == "shrunk" for x in found))):
        return CauseKind.SATURATION
    for kind in CHANGED:
        votes.pop(kind, None)
    if leak > LEAK_VOTES and CauseKind.CRASH not in votes:
        return CauseKind.LEAK
    return max(sorted(votes), key=lambda k: votes[k], default=CauseKind.UNKNOWN)


def _since_changed(votes: dict[CauseKind, float], found: list[Finding]) -> CauseKind | None:
    """The change after which a service shows what it shows, whatever that is: the one told of that says most, a release where both say as much.
    That it does otherwise than before, as the calls it makes say, speaks for the one of them that is told of."""
    told = {x.kind for x in found if x.channel in ("release", FLAG)}
    if CauseKind.FLAG in told and CauseKind.BAD_RELEASE not in told and CauseKind.BAD_RELEASE in votes:
        return CauseKind.FLAG
    changed = [kind for kind in CHANGED if kind in votes]
    return max(changed, key=lambda kind: votes[kind]) if changed and len(votes) > len(changed) else None
