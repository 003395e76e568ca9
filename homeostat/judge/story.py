"""The story of one episode: what was true, what was said and what was done, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator

from homeostat.judge.assessment import fault_rows
from homeostat.judge.trial import FaultSeen, Trial
from twin.truth import HARM

Line = tuple[float, str, str]
"""(second, who, what); who is `truth`, `operation`, `users`, `alarm`, `incident`, `decision` or `act`."""


def events(trial: Trial) -> list[Line]:
    """All that happened and was said, by time."""
    found = [*_truth(trial), *_users(trial), *_said(trial)]
    return sorted(found, key=lambda line: line[0])


def _truth(trial: Trial) -> Iterator[Line]:
    for at_s, kind, service in trial.operations:
        yield at_s, "operation", f"{kind} at {service or 'nobody'}: no fault"
    for fault in trial.faults:
        yield fault.begin_s, "truth", _begun(fault)
        if fault.gone_s is not None:
            yield fault.gone_s, "truth", f"{fault.kind} at {fault.service} is gone"


def _begun(fault: FaultSeen) -> str:
    repairs = " or ".join(f"{action} {service}" for action, service in fault.repairs[:4]) or "nothing that is done here"
    more = f" and {len(fault.repairs) - 4} more" if len(fault.repairs) > 4 else ""
    roots = ", ".join(fault.roots[:5]) + (" …" if len(fault.roots) > 5 else "")
    return f"{fault.kind} ({fault.level}) begins at {fault.service}, size {fault.size:.2f}; roots {roots}; it takes {repairs}{more}"


def _users(trial: Trial) -> Iterator[Line]:
    hurt = False
    for second, harm in enumerate(trial.harm):
        if (harm >= HARM) != hurt:
            hurt = not hurt
            yield float(second), "users", f"are hurt: {harm:.1%} of them" if hurt else "are well again"


def _said(trial: Trial) -> Iterator[Line]:
    for alarm in trial.alarms:
        name = f"{alarm.service} -> {alarm.peer}" if alarm.peer else alarm.service
        yield alarm.opened_s, "alarm", f"{name}: {alarm.text or alarm.feature}"
        if alarm.closed_s is not None:
            yield alarm.closed_s, "alarm", f"{name}: over"
    for incident in trial.incidents:
        yield incident.opened_s, "incident", f"{incident.id} opens"
        if incident.settled_s is not None:
            ranked = "; ".join(f"{s.kind} of {s.service} {s.probability:.0%}" for s in incident.settled)
            yield incident.settled_s, "incident", f"{incident.id} is fit to act on: {ranked}"
        if incident.resolved_s is not None:
            yield incident.resolved_s, "incident", f"{incident.id} is resolved"
    for decision in trial.decisions:
        yield decision.at_s, "decision", f"{decision.verdict}: {decision.text}"
    for act in trial.acts:
        after = (
            "" if act.harm_after is None else f"; {act.harm_before:.1%} were hurt before, {act.harm_after:.1%} after"
        )
        yield act.at_s, "act", f"{act.action} {act.service}{' failed' if act.failed else ''}{after}"


def told(trial: Trial) -> list[str]:
    """The story as lines of text, with the verdict at the end."""
    head = (
        f"{trial.case}: {trial.services} services, {trial.calls} kinds of calls, {trial.users_per_s:g} users' requests per "
        f"second, instrumentation {trial.style}; {trial.seconds} s, run by {trial.by}"
    )
    out = [head]
    out += [f"{second:8.1f}  {who:<10}{what}" for second, who, what in events(trial)]
    for row in fault_rows(trial):
        found = "never found" if row.found_s is None else f"found {row.found_s:.1f} s after users were hurt"
        named = "root first" if row.first else "root among three" if row.among_three else "root not named"
        mended = "repaired" if row.repaired else "not repaired" if row.repairable else "nothing repairs it"
        out.append(f"verdict   {row.kind}: {found}; {named}; {mended}; users were hurt for {row.well_s:.0f} s")
    return out
