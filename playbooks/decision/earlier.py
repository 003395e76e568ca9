"""Incidents that began before another and are not over: what came after them may come of them. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from contracts.units import SECOND
from contracts.verdicts import CauseKind, DecisionVerdict, Severity
from playbooks.decision.candidates import merely_late, top_causes
from playbooks.decision.pending_state import GRACE_S, PendingDecision
from playbooks.decision.world import Earlier

AFTER_S: Final = 900.0
"""Seconds after the onset of an incident within which another may be an after-effect: retries, queues and full pools spread in minutes;
what is borne for longer is no news."""

SETTLES_S: Final = 60.0
LED: Final = 0.5
"""An incident that is older than this, and of which nobody is the cause by so much, is not known to be anything that others could suffer from:
what is left of it is usually the noise that keeps it open."""

Linked = Callable[[Iterable[str], Iterable[str]], bool]


def earlier_than(
    case: PendingDecision, cases: Iterable[PendingDecision], linked: Linked, now_ns: int
) -> tuple[Earlier, ...]:
    """The incidents of the environment that began before this one, hurt users, were not mended, and whose services are linked with the
    suspects of this one by calls; the earliest first. What was mended a moment ago still has its echo where this one is of services that are
    late: requests that hung end late, all at once. One of which after a minute nobody is the cause is none of them."""
    mine = case.incident
    suspects = [c.service for c in top_causes(mine)] or list(mine.services)
    late = merely_late(mine)
    found = []
    for other in cases:
        its = other.incident
        before_ns = mine.ranked_from_ns - its.ranked_from_ns
        if its.environment != mine.environment or not 0 < before_ns <= AFTER_S * SECOND:
            continue
        echoes = late and bool(other.repaired_ns) and now_ns - other.repaired_ns < GRACE_S * SECOND
        if (other.repaired_ns and not echoes) or its.severity is Severity.INFO:
            continue
        leading = next(iter(top_causes(its)), None)
        if before_ns > SETTLES_S * SECOND and not echoes and (leading is None or leading.probability < LED):
            continue
        services = [leading.service, *its.services] if leading is not None else list(its.services)
        if linked(suspects, services):
            kind = CauseKind.UNKNOWN if leading is None else leading.kind
            mending = echoes or (bool(other.live) and other.live_verdict == DecisionVerdict.ACT)
            found.append(
                (its.ranked_from_ns, Earlier(its.id, "" if leading is None else leading.service, kind, mending))
            )
    return tuple(e for _, e in sorted(found, key=lambda f: (f[0], f[1].incident)))
