"""A decision in words: what a person reads who asks why."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.claims import CHOSEN
from contracts.events import Control, Incident
from contracts.verdicts import Autonomy, DecisionVerdict, HeldReason
from playbooks.decision.autonomy import Permitted
from playbooks.decision.candidates import Proposal, top_causes
from playbooks.decision.probing import continues
from playbooks.decision.scoring import Scored
from playbooks.decision.world import DecisionWorld
from playbooks.language.actions import probes


def cause_of(incident: Incident) -> str:
    """The leading cause, in a few words."""
    leading = next(iter(top_causes(incident)), None)
    if leading is None:
        return "no cause was found"
    where = f"{leading.service} → {leading.peer}" if leading.peer else leading.service
    return f"{leading.kind} of {where} ({leading.probability:.0%})"


def causes_of(incident: Incident) -> str:
    """The leading cause and its rivals."""
    rivals = [
        f"{c.kind} of {c.service} ({c.probability:.0%})" for c in top_causes(incident)[1:] if c.probability >= 0.1
    ]
    return cause_of(incident) + (f", or {', or '.join(rivals)}" if rivals else "")


def stopped(incident: Incident, control: Control) -> str:
    """The kill switch is on."""
    why = f": {control.reason}" if control.reason else ""
    return f"{cause_of(incident)}; nothing is done, acting was stopped by {control.by}{why}"


def waiting(incident: Incident, proposal: Proposal) -> str:
    """Something under way is in the way."""
    held = "" if proposal.held is None else f": {proposal.held.text}"
    return f"{cause_of(incident)}; waiting to do {proposal.playbook.name} on {proposal.target.service}{held}"


def told(incident: Incident, playbook: str) -> str:
    """Somebody knows."""
    return f"{cause_of(incident)}; somebody was told by {playbook}, and nothing here can mend it"


def as_before(incident: Incident) -> str:
    """Nobody is ill by what they show themselves."""
    return f"{cause_of(incident)}; nothing is done: all who are suspected answer as before"


def being_repaired(incident: Incident, service: str) -> str:
    """What this may come of is being mended."""
    return f"{cause_of(incident)}; nothing is asked yet: {service}, ill since earlier, is being repaired: what comes of that is waited for"


def well_by_now(incident: Incident, playbook: str) -> str:
    """Nobody suffers, since something was done ("": by itself)."""
    since = f" since {playbook}" if playbook else ""
    return f"{cause_of(incident)}; nothing is asked: users are served as before by now{since}"


def looking_on(incident: Incident, proposal: Proposal) -> str:
    """What is about to show is worth a moment."""
    return f"{causes_of(incident)}; one more window may tell: waiting to do {proposal.playbook.name} on {proposal.target.service}"


def asking(incident: Incident, found: Sequence[Proposal | None], world: DecisionWorld) -> str:
    """No playbook is worth it: why not, of the leading cause's remedies first."""
    options = [p for p in found if p is not None]
    probed = [a.told for a in world.attempts if a.told]
    tried = [f"{a.playbook} on {a.target} ({a.outcome})" for a in world.attempts if not a.told]
    why = probed + ([f"tried already: {', '.join(tried)}"] if tried and options else [])
    if held := _held_back(incident, options, probed=bool(probed)):
        why.append(f"held back: {'; '.join(held)}")
    if not options:
        why = ["no playbook is a remedy for it"]
    return f"{cause_of(incident)}; a person is asked, {'; '.join(why) or 'no playbook is worth its risk'}"


def _held_back(incident: Incident, options: Sequence[Proposal], *, probed: bool) -> list[str]:
    """What holds each playbook back. Where something else does, conditions that are not met are left out: who wrote them meant other cases. So they
    are, and what a probe forbids, where what it told is said anyway."""
    leader = next(iter(top_causes(incident)), None)
    leaders = [(p, p.held) for p in options if p.held is not None and leader in p.causes]
    others = [(p, p.held) for p in options if p.held is not None and leader not in p.causes]
    unsaid = {HeldReason.CONDITION, HeldReason.SHARED} if probed else {HeldReason.CONDITION}
    said: list[str] = []
    for part in (leaders, others):
        meant = [(p, h) for p, h in part if h.reason not in unsaid]
        for proposal, held in meant or ([] if said or probed else part):
            of = "" if part is leaders else f" on {proposal.target.service}"
            said.append(f"{proposal.playbook.name}{of}: {held.text}")
    return said


def leaving(incident: Incident) -> str:
    """Nothing is worth doing."""
    return f"{cause_of(incident)}; nothing is done: {incident.severity} is not worth the disturbance or a person's attention"


def remedy(incident: Incident, proposal: Proposal, scored: Scored, may: Permitted, world: DecisionWorld) -> str:
    """A playbook was chosen."""
    chosen = proposal.target.attributes.get(CHOSEN, "")
    what = f"{proposal.playbook.name} on {proposal.target.service}" + (f" ({chosen})" if chosen else "")
    if probes(proposal.playbook):
        what += ", a probe: one instance is replaced to see whether it is well then"
    going_on = continues(proposal.playbook, proposal.causes, world)
    what += f" (goes on with what a probe began; {going_on})" if going_on else ""
    chance = f"P(success) {scored.probability:.0%}, score {scored.score:.2f}"
    if may.level is Autonomy.OBSERVE:
        return f"{cause_of(incident)}; would do {what} ({chance}), but only observes"
    if may.level is Autonomy.ACT and proposal.playbook.tier < 3:
        first = ", validated first" if proposal.playbook.tier == 2 else ""
        return f"{cause_of(incident)}; does {what}{first} ({chance})"
    return f"{cause_of(incident)}; asks to approve {what} ({chance}): {_why_ask(proposal, may)}"


def _why_ask(proposal: Proposal, may: Permitted) -> str:
    reasons = [d.text for d in may.doubts]
    if may.allowed is Autonomy.SUGGEST:
        reasons.append("autonomy is set to suggest")
    if proposal.playbook.tier == 3:
        reasons.append("tier 3 needs a person's approval")
    return "; ".join(reasons)


def verdict(found: DecisionVerdict, may: Permitted, proposal: Proposal | None) -> str:
    """What happens with the chosen option."""
    if proposal is None:
        return {DecisionVerdict.ASK: "a person must take over"}.get(found, "nothing is done")
    if found is DecisionVerdict.ACT:
        return "best score, and it may be done without a person"
    if found is DecisionVerdict.NOTHING:
        return "best score, but only observing"
    return f"best score; needs approval: {_why_ask(proposal, may)}"
