"""What to do about an incident. Pure: the same incident, world, playbooks and settings give the same decision, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.events import Candidate, Decision, Incident, Option
from contracts.settings import DecideSettings
from contracts.verdicts import Autonomy, CauseKind, Conduct, DecisionVerdict, HeldReason, Severity
from playbooks.decision import words
from playbooks.decision.autonomy import Permitted, controls_for, permitted
from playbooks.decision.belief import believed
from playbooks.decision.candidates import Proposal, being_mended, merely_late, proposals, top_causes
from playbooks.decision.patience import worth_waiting
from playbooks.decision.scoring import Scored, ask_a_person, do_nothing, score
from playbooks.decision.world import DecisionWorld, world_hash
from playbooks.language.actions import tells, touching
from playbooks.language.model import Playbook

NOTHING: Final = "do-nothing"
PERSON: Final = "ask-a-person"
TRANSIENT: Final = frozenset({HeldReason.CONCURRENCY, HeldReason.BLAST_RADIUS, HeldReason.UNPROVEN, HeldReason.UNFELT})
"""Reasons that pass when the runs under way end, or a moment later: worth waiting for rather than asking a person."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """An option under way to becoming one: a playbook's proposal, or (None) one of the two that are always there."""

    name: str
    proposal: Proposal | None
    scored: Scored

    @property
    def free(self) -> bool:
        """Whether nothing holds it back."""
        return self.proposal is None or self.proposal.held is None

    @property
    def order(self) -> tuple[float, str, str]:
        """Best first; equal scores by name, so that nothing is left to chance."""
        return -self.scored.score, self.name, "" if self.proposal is None else self.proposal.target.service


@dataclass(frozen=True, slots=True)
class Choice:
    """What was chosen, and what is to happen with it."""

    chosen: Weighed
    verdict: DecisionVerdict
    permitted: Permitted
    text: str


def decision_id(incident: str, number: int) -> str:
    """The id of an incident's decision of this number."""
    return f"{incident}-d{number}"


def number_in(decision: str, incident: str) -> int:
    """The number in a decision's id; 0 if it is none of the incident's."""
    number = decision.removeprefix(f"{incident}-d")
    return int(number) if number != decision and number.isascii() and number.isdigit() else 0


def decide(
    incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook], settings: DecideSettings
) -> Decision:
    """The decision, with every option, its terms, and why it won or lost."""
    told, incident = incident, believed(incident, world, playbooks)
    weighed = _weigh(incident, world, playbooks)
    choice = _unless_well(_choose(weighed, incident, world, playbooks, settings), weighed, incident, world)
    cause = _cause(choice.chosen, incident)
    return Decision(
        id=decision_id(incident.id, world.number),
        incident=incident.id,
        environment=incident.environment,
        time_ns=world.now_ns,
        verdict=choice.verdict,
        autonomy=choice.permitted.level,
        cause=CauseKind.UNKNOWN if cause is None else cause.kind,
        cause_service="" if cause is None else cause.service,
        cause_probability=0.0 if cause is None else cause.probability,
        onset_ns=incident.ranked_from_ns,
        chosen=_option(choice.chosen, choice),
        options=tuple(_option(w, choice) for w in weighed),
        world_hash=world_hash(told, world, playbooks, settings),
        text=choice.text,
        cause_instance="" if cause is None else cause.instance,
        cause_flag=None if cause is None else cause.flag,
        cause_caller="" if cause is None else cause.caller,
        cause_callee="" if cause is None else cause.callee,
        cause_node="" if cause is None else cause.node,
        cause_sickest="" if cause is None else cause.sickest,
        cause_zone="" if cause is None else cause.zone,
    )


def _weigh(incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook]) -> list[Weighed]:
    found = [Weighed(p.playbook.name, p, score(p, incident, world)) for p in proposals(incident, world, playbooks)]
    found.append(Weighed(PERSON, None, ask_a_person(incident)))
    found.append(Weighed(NOTHING, None, do_nothing(incident)))
    return sorted(found, key=lambda w: w.order)


def _choose(
    weighed: list[Weighed],
    incident: Incident,
    world: DecisionWorld,
    playbooks: Sequence[Playbook],
    settings: DecideSettings,
) -> Choice:
    nothing = next(w for w in weighed if w.name == NOTHING)
    stopped = next((c for c in controls_for(incident.environment, world.controls) if not c.acting), None)
    general = permitted(None, incident, world, settings)
    if stopped is not None:
        return Choice(nothing, DecisionVerdict.NOTHING, general, words.stopped(incident, stopped))
    best = next(w for w in weighed if w.free)
    waited_for = _worth_waiting_for(weighed, best)
    if waited_for is not None:
        return Choice(nothing, DecisionVerdict.NOTHING, general, words.waiting(incident, waited_for))
    if best.proposal is not None:
        choice = _with_playbook(best, best.proposal, incident, world, settings)
        if _unsure(choice) and _one_window_more(weighed, best, incident, world):
            text = words.looking_on(incident, best.proposal)
            return Choice(nothing, DecisionVerdict.NOTHING, general, text)
        return choice
    if best.name == PERSON:
        unasked = _why_not_ask(incident, world, playbooks, settings)
        if unasked:
            return Choice(nothing, DecisionVerdict.NOTHING, general, unasked)
        return Choice(best, DecisionVerdict.ASK, general, words.asking(incident, [w.proposal for w in weighed], world))
    return Choice(best, DecisionVerdict.NOTHING, general, words.leaving(incident))


def _why_not_ask(
    incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook], settings: DecideSettings
) -> str:
    """Why there is nothing to ask a person about, or not yet; "" where there is."""
    if _all_as_before(incident, world, settings):
        return words.as_before(incident)
    leading = next(iter(top_causes(incident)), None)
    mended = being_mended(leading, world) if leading is not None else None
    if mended is not None:
        return words.being_repaired(incident, mended.service)
    told = _told_already(incident, world, playbooks)
    return words.told(incident, told) if told else ""


def _worth_waiting_for(weighed: list[Weighed], best: Weighed) -> Proposal | None:
    for w in weighed:
        if w is best:
            return None
        if w.proposal is not None and w.proposal.held is not None and w.proposal.held.reason in TRANSIENT:
            return w.proposal
    return None


def _with_playbook(
    best: Weighed, proposal: Proposal, incident: Incident, world: DecisionWorld, settings: DecideSettings
) -> Choice:
    may = permitted(proposal, incident, world, settings)
    text = words.remedy(incident, proposal, best.scored, may, world)
    if may.level is Autonomy.OBSERVE:
        return Choice(best, DecisionVerdict.NOTHING, may, text)
    alone = may.level is Autonomy.ACT and proposal.playbook.tier < 3
    return Choice(best, DecisionVerdict.ACT if alone else DecisionVerdict.ASK, may, text)


def _all_as_before(incident: Incident, world: DecisionWorld, settings: DecideSettings) -> bool:
    """Whether everybody who is suspected, and none of them for sure, is known to answer as before, and users hardly suffer: there is nothing
    to ask about yet."""
    causes = top_causes(incident)
    unsure = bool(causes) and causes[0].probability < settings.min_confidence
    return unsure and _answer_as_before(incident, world) and incident.severity is not Severity.CRITICAL


def _answer_as_before(incident: Incident, world: DecisionWorld) -> bool:
    """Whether everybody who is suspected is known to answer as before."""
    found = [world.standings.get(c.service) for c in top_causes(incident)]
    return all(s is not None and s.conduct is Conduct.AS_BEFORE for s in found)


def _unless_well(choice: Choice, weighed: list[Weighed], incident: Incident, world: DecisionWorld) -> Choice:
    """The choice; but nobody is asked while users are served as before by now, after a remedy with which all was well again, or of who is slow or
    saturated, and left alone for as long: that an incident takes its time to end is no question. After such a remedy it is none either that
    users may feel a little, as long as everybody suspected answers as before."""
    helped = next((a.playbook for a in reversed(world.attempts) if a.outcome == "better" or a.well), "")
    left_alone = helped or not top_causes(incident) or merely_late(incident)
    well = incident.felt is Severity.INFO
    well |= bool(helped) and incident.felt is not Severity.CRITICAL and _answer_as_before(incident, world)
    if choice.verdict is not DecisionVerdict.ASK or not well or not left_alone:
        return choice
    nothing = next(w for w in weighed if w.name == NOTHING)
    return Choice(nothing, DecisionVerdict.NOTHING, choice.permitted, words.well_by_now(incident, helped))


def _told_already(incident: Incident, world: DecisionWorld, playbooks: Sequence[Playbook]) -> str:
    """By which playbook somebody has been told of the leading cause already: the same is not asked twice."""
    telling = {p.name for p in playbooks if tells(p)}
    leading = next(iter(top_causes(incident)), None)
    told = [a for a in world.attempts if a.playbook in telling and a.outcome in ("succeeded", "inconclusive")]
    return next((a.playbook for a in told if leading is not None and a.target == leading.service), "")


def _unsure(choice: Choice) -> bool:
    """Whether something would be done, or a person asked for nothing but want of certainty."""
    doubts = {d.reason for d in choice.permitted.doubts}
    return choice.verdict is DecisionVerdict.ACT or (
        choice.verdict is DecisionVerdict.ASK and doubts == {HeldReason.LOW_CONFIDENCE}
    )


def _one_window_more(weighed: list[Weighed], best: Weighed, incident: Incident, world: DecisionWorld) -> bool:
    """Whether to look for a moment longer before something is done to a target."""
    if best.proposal is None or not touching(best.proposal.playbook.steps):
        return False
    free = [w.proposal for w in weighed if w.free and w.proposal is not None]
    return worth_waiting(free, best.scored.score, incident, world)


def _cause(chosen: Weighed, incident: Incident) -> Candidate | None:
    """The cause that is acted on; where no playbook was chosen, the leading one."""
    if chosen.proposal is not None:
        return chosen.proposal.causes[0]
    return next(iter(top_causes(incident)), None)


def _option(w: Weighed, choice: Choice) -> Option:
    proposal = w.proposal
    held = None if proposal is None else proposal.held
    return Option(
        playbook=w.name,
        playbook_version="" if proposal is None else proposal.playbook.version,
        target="" if proposal is None else proposal.target.service,
        tier=0 if proposal is None else proposal.playbook.tier,
        score=w.scored.score,
        success_probability=w.scored.probability,
        terms=w.scored.terms,
        held=None if held is None else held.reason,
        held_text="" if held is None else held.text,
        why=_why(w, choice),
    )


def _why(w: Weighed, choice: Choice) -> str:
    if w is choice.chosen:
        return "chosen: " + words.verdict(choice.verdict, choice.permitted, w.proposal)
    if w.proposal is not None and w.proposal.held is not None:
        return f"held back ({w.proposal.held.reason}): {w.proposal.held.text}"
    if choice.verdict is DecisionVerdict.NOTHING and w.scored.score > choice.chosen.scored.score:
        return f"would score {w.scored.score:.2f}, but {choice.text}"
    return f"scores {w.scored.score:.2f}, {choice.chosen.name} scores {choice.chosen.scored.score:.2f}"
