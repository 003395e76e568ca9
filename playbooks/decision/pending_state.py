"""What is known of incidents under decision, as snapshots hold it, and what follows from it alone: what is awaited, what mends, what is news."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import msgspec

from contracts.errors import UnreadableEvent
from contracts.events import Control, Decision, Incident
from contracts.ports import RunEntry
from contracts.units import SECOND
from contracts.verdicts import DecisionVerdict, HeldReason, RunState, Severity
from playbooks.decision.candidates import top_causes
from playbooks.decision.reported import ReportedEnvironment
from playbooks.decision.world import Attempt, ServiceView
from playbooks.learning import Prediction

CALM_S: Final = 3.0
"""Pause before a decision that was not acted on is replaced by another that does not act either."""
GRACE_S: Final = 30.0
"""Time an incident has to end after a repair was verified."""
OTHER_GRACE_S: Final = 10.0
"""The same where another service is blamed by then: callers get well a little later than whom they call."""
ASKED_AGAIN_S: Final = 60.0
"""Pause before the same question of an incident is asked again that was withdrawn meanwhile, doubled each time: a person was asked."""
STANDS: Final = frozenset({HeldReason.CONCURRENCY, HeldReason.BLAST_RADIUS})
"""Reasons to wait for which an offer stands: what is in the way is over in a moment, and a person takes longer than that to answer."""
LOOKED_AT_S: Final = 4.0
"""How long the same question must have stood before a person is asked of a cause that is sure; what is sure a moment later is no question."""
DOUBTED_S: Final = 15.0
"""The same of a cause that isn't, or of whom it has still to be seen whether it is to blame: the first windows of a fault name now this one,
now that one, and what fails a little shows with time."""
ASKED_BY_S: Final = 20.0
"""How long nobody is asked at most because the question changes."""
RELAPSED_S: Final = 10.0
"""How lately a service must have been anomalous for a repaired incident to be taken up again. Before that nobody is asked, either: that
an incident takes its time to end is no reason to wake anybody."""
RETURNS_S: Final = 20.0
"""How long users must have been known to be well for it to be news that they are hurt again, to whoever was asked before; doubled each time that
they were. It is known some fifteen seconds after they are."""
TO_BE_SEEN: Final = frozenset({HeldReason.INNOCENT, HeldReason.UNPROVEN})
"""Reasons that more telemetry may take away."""
VERSION: Final = 1
"""Of snapshots."""


class PendingDecision(msgspec.Struct):
    """One incident. `live` is the decision that is under way or offered for approval; `last` what was last decided."""

    incident: Incident
    number: int = 0
    live: str = ""
    live_verdict: str = ""
    last: tuple[str, str, str] | None = None
    playbook: str = ""
    target: str = ""
    decided_ns: int = 0
    checked_ns: int = 0
    repaired_ns: int = 0
    attempts: list[Attempt] = []
    repaired: str = ""
    """Target of the last repair that was verified."""
    confirmed_ns: int = 0
    """End of the last window in which a service of the incident was anomalous."""
    asked: dict[str, tuple[int, int]] = {}
    """When each question was asked last, and how often: playbook, and target where there is one."""
    meant: tuple[str, int, int] = ("", 0, 0)
    """What a person would be asked at present, since when that, and since when anything; nothing while nobody would be."""
    well_ns: int = 0
    """Since when users have been served as before; 0 while they are not."""
    node: str = ""
    """What the target of the live decision is being moved off; "" of any other remedy."""


class UnseenDecision(msgspec.Struct, frozen=True):
    """An own decision that is in no report yet: whoever acts may be about to begin its run."""

    environment: str
    target: str
    playbook: str
    verdict: str
    time_ns: int


class SavedPending(msgspec.Struct):
    """A snapshot."""

    version: int
    cases: dict[str, PendingDecision]
    closed: dict[str, tuple[int, int]]
    posteriors: dict[str, object]
    controls: dict[str, Control]
    predictions: dict[str, list[Prediction]]
    expected: dict[str, float]
    heard_ns: dict[str, int]
    views: dict[str, dict[str, ServiceView]]
    rows: dict[str, list[bytes]] = {}
    """Packed evidence of the services under decision, by environment."""
    came: dict[str, list[int]] = {}
    """How far event time had come with each of `rows`; nothing in snapshots from before that counted."""
    times: dict[str, dict[int, int]] = {}
    """How far event time has come, by environment and partition."""
    services: dict[str, dict[str, int]] = {}
    """Who was heard of, and when, by environment."""
    reported: dict[str, ReportedEnvironment] = {}
    unseen: dict[str, UnseenDecision] = {}
    serving: dict[str, dict[str, Any]] = {}
    """Who was at work lately, by environment; nothing in snapshots from before that was kept."""
    began_ns: dict[str, int] = {}
    """When telemetry began, by environment of which it has not been heard for long."""


def saved_of(state: bytes) -> SavedPending:
    """A snapshot from its bytes.

    Raises:
        UnreadableEvent: it is no snapshot of decisions, or of a newer version.
    """
    try:
        saved = msgspec.msgpack.decode(state, type=SavedPending)
    except msgspec.DecodeError as e:
        raise UnreadableEvent(f"not a snapshot of decisions: {e}") from e
    if saved.version > VERSION:
        raise UnreadableEvent(f"snapshot v{saved.version} of decisions is newer than v{VERSION}")
    return saved


def awaited(decision: str, unseen: UnseenDecision) -> RunEntry:
    """An own decision as the run that it is about to be; one that is offered waits for a person, and so stands in nobody's way."""
    state = RunState.PENDING if unseen.verdict == DecisionVerdict.ACT else RunState.AWAITING_APPROVAL
    return RunEntry(
        decision,
        decision,
        unseen.environment,
        unseen.target,
        unseen.playbook,
        state,
        unseen.time_ns,
        unseen.time_ns,
        0,
        {},
    )


def revise(case: PendingDecision, incident: Incident, now_ns: int) -> None:
    """Take a new revision in. Whoever was asked before doesn't know that users who were well for a while are hurt again: they are asked anew."""
    case.incident = incident
    if (incident.felt or incident.severity) is Severity.INFO:
        case.well_ns = case.well_ns or now_ns
        return
    times = max((n for _, n in case.asked.values()), default=0)
    if times and case.well_ns and now_ns - case.well_ns >= RETURNS_S * 2 ** (times - 1) * SECOND:
        case.asked = {asked: (0, n) for asked, (_, n) in case.asked.items()}
        case.last = case.last if case.live else None
    case.well_ns = 0


def mending(case: PendingDecision, now_ns: int) -> bool:
    """Whether a verified repair has still to show, or has shown: nothing of the incident is ill any more."""
    if not case.repaired_ns:
        return False
    leading = next(iter(top_causes(case.incident)), None)
    other = bool(case.repaired) and leading is not None and leading.service != case.repaired
    if now_ns - case.repaired_ns < (OTHER_GRACE_S if other else GRACE_S) * SECOND:
        return True
    return now_ns - case.confirmed_ns > RELAPSED_S * SECOND


def next_there(case: PendingDecision, run: RunEntry | None) -> str:
    """The node (or zone) that services are being moved off, of which one has been moved by now and another is looked after next: the verdict on the
    first is not waited for, as it suffers from those that are there still. "" where that isn't so."""
    leading = next(iter(top_causes(case.incident)), None)
    if run is None or run.state is not RunState.VERIFYING or leading is None or not case.node:
        return ""
    there = leading.node or leading.zone
    return case.node if there == case.node and leading.service != case.target else ""


def moved_off(decision: Decision) -> str:
    """The node (or zone) that a decision has a service moved off; "" of any other."""
    return (decision.cause_node or decision.cause_zone) if decision.verdict is DecisionVerdict.ACT else ""


def signature(decision: Decision) -> tuple[str, str, str]:
    """What makes a decision another: verdict, playbook, target."""
    return str(decision.verdict), decision.chosen.playbook, decision.chosen.target


def differs(case: PendingDecision, decision: Decision, now_ns: int) -> bool:
    """Whether it is news. Acting is at once; another way of not acting only after a pause, or it would flicker."""
    found = signature(decision)
    if case.last is None or decision.verdict is DecisionVerdict.ACT:
        return found != case.last
    if found == case.last or now_ns - case.decided_ns < CALM_S * SECOND:
        return False
    return not _stands(case, decision) and not _asked_lately(case, decision, now_ns)


def _stands(case: PendingDecision, decision: Decision) -> bool:
    """Whether a person is asked for what is only not done at once because something else is under way."""
    offered = case.live_verdict == DecisionVerdict.ASK and decision.verdict is DecisionVerdict.NOTHING
    return offered and any(
        (o.playbook, o.target) == (case.playbook, case.target) and o.held in STANDS for o in decision.options
    )


def _asked_lately(case: PendingDecision, decision: Decision, now_ns: int) -> bool:
    if decision.verdict is not DecisionVerdict.ASK:
        return False
    return _too_soon(*case.asked.get(question(decision), (0, 0)), now_ns)


def _too_soon(last_ns: int, times: int, now_ns: int) -> bool:
    """Whether what was asked so often, last at `last_ns`, is not asked again yet."""
    return times > 0 and now_ns - last_ns < ASKED_AGAIN_S * 2 ** (times - 1) * SECOND


def premature(case: PendingDecision, decision: Decision, min_confidence: float, now_ns: int) -> bool:
    """Whether it is too early to ask a person; notes what would be asked. Who may not act alone for want of leave asks at once.

    Somebody who was told of an incident that nothing can be offered for follows it: that another cause leads is asked ever more seldom.
    """
    if decision.verdict is not DecisionVerdict.ASK:
        case.meant = ("", 0, 0)
        return False
    asked, since_ns, first_ns = case.meant
    if asked != question(decision):
        case.meant = asked, since_ns, first_ns = question(decision), now_ns, first_ns or now_ns
    sure, offers = decision.cause_probability >= min_confidence, bool(decision.chosen.target)
    if sure and offers:
        return False
    sure &= not any(o.held in TO_BE_SEEN for o in decision.options if o.target == decision.cause_service)
    stood_s = LOOKED_AT_S if sure else DOUBTED_S
    if now_ns - since_ns < stood_s * SECOND and now_ns - first_ns < ASKED_BY_S * SECOND:
        return True
    if offers or case.live:
        return False
    return _too_soon(
        max((at for at, _ in case.asked.values()), default=0), sum(n for _, n in case.asked.values()), now_ns
    )


def question(decision: Decision) -> str:
    """What a person is asked."""
    return f"{decision.chosen.playbook} {decision.chosen.target}".strip()


def offered(history: Sequence[RunEntry], cases: Iterable[PendingDecision]) -> tuple[RunEntry, ...]:
    """The runs as they stand in the way of others: one that is about to wait for a person does not."""
    asked = {case.live for case in cases if case.live_verdict == DecisionVerdict.ASK}
    waiting = {RunState.PENDING: RunState.AWAITING_APPROVAL}
    return tuple(replace(r, state=waiting.get(r.state, r.state)) if r.decision in asked else r for r in history)
