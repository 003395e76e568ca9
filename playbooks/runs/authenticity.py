"""What a decision or an approval is believed for. Nobody who may write to a topic is known by name, so this checks what can be.

A decision counts if this environment's own decide stage emitted it: whoever owns the environment notes that in its journal
(`note`) before it sends the decision, and the journal has one writer at a time, its owner, by the fencing of its epoch. So a
decision of somebody else is known as such, and one of a former owner is believed as far as the journal outlived him.

An approval counts if it comes after its decision, and is about exactly that: it names its environment, and its digest where
it says one. The digest holds what nobody knows before (times, the hash of the world), so who gives it has read the decision,
whatever his clock says; without it the approval's own time must not be before the decision's.
"""

from __future__ import annotations

import hashlib

from contracts.errors import Permanent
from contracts.events import Approval, Decision, encode
from contracts.ports import Journal, RunEntry
from contracts.verdicts import TERMINAL_RUN_STATES
from playbooks.runs import journal_records
from playbooks.runs.plan import RunPlan, plan_from, run_of

_NOTED = "issued/"
UNPROVEN = "unproven"
"""Reason of what is not believed: it is on the dead-letter topic, and in the log."""


def digest_of(decision: Decision) -> str:
    """SHA-256 (hex) over the decision's bytes as they are sent."""
    return hashlib.sha256(encode(decision)).hexdigest()


def note(journal: Journal, decision: Decision) -> None:
    """This environment's own decide stage emits the decision."""
    fact = {"digest": digest_of(decision), "environment": decision.environment, "time_ns": decision.time_ns}
    journal.put(_key(decision.id), fact, decision.environment)


def noted_decisions(journal: Journal) -> dict[str, tuple[str, int]]:
    """Id -> environment and time (epoch nanoseconds) of all decisions that were noted."""
    found = {key.removeprefix(_NOTED): fact for key, fact in journal.facts(_NOTED).items()}
    return {name: (str(fact["environment"]), int(fact["time_ns"])) for name, fact in found.items()}


def require_own(journal: Journal, decision: Decision) -> None:
    """Raises Permanent unless the decision is one that was noted."""
    noted = journal.get(_key(decision.id))
    if noted is None or noted["digest"] != digest_of(decision):
        what = "is not one of this environment's" if noted is None else "is not what was decided under that name"
        raise Permanent(
            f"decision {decision.id!r} to do {decision.chosen.playbook} on {decision.chosen.target} {what}: nothing is done",
            reason=UNPROVEN,
            fix="who writes to autonomous.decisions? where others are to decide, set act.foreign_decisions",
        )


def require_answer(journal: Journal, approval: Approval) -> bool:
    """Whether a decision that is known here waits for this answer; False where its run is over.

    Raises:
        Permanent: it answers no decision that is known here, or another one.
    """
    entry = journal.load(run_of(approval.decision))
    why = _objection(journal, approval, entry)
    if why:
        raise Permanent(
            f"the answer of {approval.by} to decision {approval.decision!r} does not count: {why}",
            reason=UNPROVEN,
            fix="answer with `homeostat approve` or `homeostat deny` what `homeostat watch` shows",
        )
    return entry is None or entry.state not in TERMINAL_RUN_STATES


def approval_of(journal: Journal, plan: RunPlan) -> Approval | None:
    """A person's answer to the decision of a run, if there is one."""
    found = journal_records.approval_of(journal, plan.decision)
    return found if found is not None and found.environment == plan.environment else None


def _objection(journal: Journal, approval: Approval, entry: RunEntry | None) -> str:
    noted = journal.get(_key(approval.decision))
    if noted is None and entry is None:
        return "no such decision is known in its environment, an answer comes after its question"
    environment = entry.environment if entry is not None else str(noted["environment"]) if noted is not None else ""
    if environment != approval.environment:
        return f"it names the environment {approval.environment!r}, the decision is about {environment!r}"
    if approval.digest and noted is not None:
        return "" if approval.digest == noted["digest"] else "its digest is that of another decision"
    decided_ns = int(noted["time_ns"]) if noted is not None else plan_from(entry).decided_ns if entry is not None else 0
    if approval.time_ns < decided_ns:
        return "it was given before the decision, by its own time, and has no digest of it (is a clock wrong?)"
    return ""


def _key(decision: str) -> str:
    return _NOTED + decision
