"""The guards: one small pure function each, in one table. Asked when deciding, and again right before an effect.

All counts come from the journal's history, so they hold through restarts and on every worker.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from contracts.actions import Touches, action_of, not_offered, waits
from contracts.ports import RunEntry, Target, TargetState
from contracts.units import HOUR, SECOND
from contracts.verdicts import Conduct, HeldReason, RunState
from playbooks.guards.context import (
    GuardContext,
    Held,
    acted,
    acted_ns,
    active_others,
    affected_by,
    last_ns,
    on_same,
    others,
)
from playbooks.guards.serving import within
from playbooks.language import durations, windows
from playbooks.language.actions import probes, touching
from playbooks.language.model import Playbook

Guard = Callable[[Playbook, Target, TargetState | None, GuardContext], Held | None]

FEWEST_PROBED: Final = 3
"""Instances of which one may be taken for a probe: two that stay can be told from the one that is new."""
_HARM: Final = frozenset({RunState.FAILED, RunState.ROLLED_BACK})


def kill_switch(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """Nothing acts while acting is stopped."""
    del playbook, state
    for control in context.controls:
        if control.scope in ("*", target.environment) and not control.acting:
            why = f" ({control.reason})" if control.reason else ""
            return Held(HeldReason.KILL_SWITCH, f"acting was stopped by {control.by}{why}")
    return None


def target_known(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """What changes the target needs to know its state."""
    if state is None and touching(playbook.steps):
        able = () if context.actions is None else (action_of(name) for name in context.actions)
        if context.actions is not None and not any(a.touches is Touches.TARGET and not a.beside for a in able):
            where = f"environment {target.environment!r} is bound to nothing that could (act.environments)"
            return Held(HeldReason.UNBOUND_ENVIRONMENT, where)
        return Held(HeldReason.NO_TARGET, f"no actuator knows {target.service}")
    return None


def innocent(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """What answers as before is not restarted, rolled back or scaled, whoever is blamed. Instances that are not ready, for
    scaling a demand above the usual, and for leading its calls elsewhere calls in which its requests fail, are reasons of their own."""
    acts = [action for action, _ in touching(playbook.steps)]
    standing = context.standing
    if not acts or standing is None:
        return None
    if standing.conduct is Conduct.WORSE:
        meant = all(a.mends_part for a in acts) or (standing.demand and all(a.meets_demand for a in acts))
        text = f"{target.service}: {standing.text}; its typical request takes as long as before"
        waits_for = "whether that is one of its operations is waited for"
        return Held(HeldReason.UNPROVEN, f"{text}: {waits_for}") if standing.partly and not meant else None
    if (state is not None and state.ready < state.replicas) or (standing.demand and all(a.meets_demand for a in acts)):
        return None
    if standing.handed_on and all(a.at_caller for a in acts):
        return None
    if standing.conduct is Conduct.UNKNOWN:
        return (
            Held(HeldReason.UNPROVEN, f"{target.service}: {standing.text}; that is waited for")
            if standing.young
            else None
        )
    return Held(HeldReason.INNOCENT, f"{target.service} is not to blame: {standing.text}")


def capable(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """Every step, forward and back, is within what actuators can do; going back needs a version to go back to."""
    needed = {s.action for s in (*playbook.steps, *playbook.rollback) if not waits(s.action)}
    for action in (action_of(name) for name in sorted(needed)):
        if not action.installed:
            return Held(HeldReason.NOT_CAPABLE, action.text)
    if context.actions is not None and needed - context.actions:
        return Held(HeldReason.NOT_CAPABLE, not_offered(action_of(name) for name in needed - context.actions))
    named = dict(context.named or ())
    for step in (*playbook.steps, *playbook.rollback):
        for argument in action_of(step.action).arguments:
            name, by = step.arguments.get(argument.key), argument.named_by
            if by in named and isinstance(name, str) and name not in named[by]:
                return Held(HeldReason.NOT_CAPABLE, f"there is no {by}.{name} in the settings")
    found = (a.unable(s.arguments, state) for a, s in touching(playbook.steps)) if state is not None else ()
    lacking = next((text for text in found if text), "")
    return Held(HeldReason.NOT_CAPABLE, f"{target.service} has {lacking}") if lacking else None


def unowned(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """Who owns the target decides: what they would undo, or have not left to others, is not done."""
    del target, context
    if state is None:
        return None
    why = next((text for a, s in touching(playbook.steps) if (text := a.refusal(s.arguments, state))), "")
    return Held(HeldReason.OWNED, why) if why else None


def alone(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """What another installation has acted on is left to it for a while: neither knows of the other's runs, only the target of both."""
    mark = None if state is None else state.acted
    if mark is None or context.ourselves.installation in ("", mark.by) or not touching(playbook.steps):
        return None
    since_s, pause_s = (
        (context.now_ns - mark.time_ns) / SECOND,
        max(playbook.guards.cooldown_s, context.ourselves.pause_s),
    )
    if since_s >= pause_s:
        return None
    text = (
        f"{target.service} was acted on by another Homeostat, {mark.words}, {_ago(since_s)} ago: it is left alone for"
    )
    return Held(HeldReason.ANOTHER, f"{text} {durations.spell(pause_s)} (act.others_pause_s)")


def outcome_known(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """A target on which an effect may or may not have happened is left alone until a person has looked."""
    del playbook, state
    runs = [r for r in others(context.history, context) if on_same(r, target.service, context) and acted(r)]
    latest = max(runs, key=_last, default=None)
    if latest is None or latest.state is not RunState.UNKNOWN:
        return None
    if (context.now_ns - last_ns(latest)) / SECOND >= context.circuit.reset_s:
        return None
    text = f"whether {latest.playbook} had its effect on {target.service} is not known: a person must look"
    return Held(HeldReason.CIRCUIT_OPEN, text)


def circuit_closed(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """Repeated failure or harm on one target stops a playbook there, until one attempt is let through."""
    del state
    failures, last = 0, 0
    for run in sorted(_same(playbook, target, context), key=_last):
        if run.state is RunState.SUCCEEDED:
            failures = 0
        elif run.state in _HARM:
            failures, last = failures + 1, last_ns(run)
    since_s = (context.now_ns - last) / SECOND
    if failures < context.circuit.failures or since_s >= context.circuit.reset_s:
        return None
    text = f"{failures} failed or harmful runs in a row on {target.service}, the last {_ago(since_s)} ago"
    return Held(HeldReason.CIRCUIT_OPEN, text)


def cooled_down(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """A pause after a run on the same target, counted from its last change."""
    del state
    last = max((last_ns(r) for r in _same(playbook, target, context)), default=None)
    if last is None:
        return None
    since_s = (context.now_ns - last) / SECOND
    if since_s >= playbook.guards.cooldown_s:
        return None
    text = f"last run {_ago(since_s)} ago, cooldown is {durations.spell(playbook.guards.cooldown_s)}"
    return Held(HeldReason.COOLDOWN, text)


def within_rate(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """At most so many runs on one target in any hour."""
    del state
    since = context.now_ns - HOUR
    count = sum(acted_ns(r) > since for r in _same(playbook, target, context))
    if count < playbook.guards.max_per_hour:
        return None
    text = f"{count} runs on {target.service} in the last hour, at most {playbook.guards.max_per_hour} are allowed"
    return Held(HeldReason.RATE_LIMIT, text)


def not_crowded(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """One run on a target at a time, so many of a playbook, so many in the environment."""
    del state
    active = active_others(context)
    on_target = [r for r in active if on_same(r, target.service, context)]
    if on_target:
        return Held(HeldReason.CONCURRENCY, f"{on_target[0].playbook} is under way on {target.service}")
    same = sum(r.playbook == playbook.name for r in active)
    if same >= playbook.guards.max_concurrent:
        return Held(
            HeldReason.CONCURRENCY, f"{same} runs of this playbook under way, {_most(playbook.guards.max_concurrent)}"
        )
    if len(active) >= context.max_concurrent:
        return Held(HeldReason.CONCURRENCY, f"{len(active)} runs under way, {_most(context.max_concurrent)}")
    return None


def enough_room(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """Replicas stay within bounds, and scaling changes something."""
    guards, now = playbook.guards, None if state is None else state.replicas
    most = None if state is None else state.most
    for planned in context.planned:
        if most is not None and planned > max(most, now or 0):
            return Held(HeldReason.MAX_REPLICAS, f"{planned} replicas, {target.service}'s autoscaler allows {most}")
        if planned > guards.max_replicas:
            return Held(HeldReason.MAX_REPLICAS, f"{planned} replicas, {_most(guards.max_replicas)}")
        if planned < guards.min_replicas:
            return Held(HeldReason.MIN_REPLICAS, f"{planned} replicas, at least {guards.min_replicas} must stay")
    if context.planned and all(p == now for p in context.planned):
        at_top = now is not None and now >= min(guards.max_replicas, guards.max_replicas if most is None else most)
        reason = HeldReason.MAX_REPLICAS if at_top else HeldReason.MIN_REPLICAS
        return Held(reason, f"{target.service} has {now} replicas already")
    return None


def comparable(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """A probe takes one instance of several that all serve: enough others stay to serve, and to compare it with, and none is just being
    replaced, as a release that rolls out does."""
    del context
    if state is None or not probes(playbook):
        return None
    if min(state.ready, state.replicas) >= FEWEST_PROBED and state.ready == state.replicas:
        return None
    text = f"{state.ready} of {state.replicas} instances of {target.service} are ready: a probe takes one of {FEWEST_PROBED} at least, all ready"
    return Held(HeldReason.MIN_REPLICAS, text)


def contained(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """Only a share of the environment's services is acted on at once; one always may be."""
    affected = set(context.affected or affected_by(target.service, context))
    if state is not None:
        affected.update(name for a, s in touching(playbook.steps) for name in a.also_affects(s.arguments, state))
    if within(affected, context.known_services, playbook.guards.blast_radius):
        return None
    known = len(affected | set(context.known_services))
    allowed = max(1, int(playbook.guards.blast_radius * known + 1e-9))
    text = f"{len(affected)} of {known} services acted on at once, at most {allowed} are allowed"
    return Held(HeldReason.BLAST_RADIUS, text)


def in_window(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """Only at the times allowed."""
    del target, state
    if windows.is_open(playbook.guards.windows, context.now_ns):
        return None
    return Held(HeldReason.WINDOW, f"only {' or '.join(playbook.guards.windows)} (UTC)")


GUARDS: Final[tuple[tuple[str, Guard], ...]] = (
    ("kill switch", kill_switch),
    ("target", target_known),
    ("innocence", innocent),
    ("capability", capable),
    ("owner", unowned),
    ("alone", alone),
    ("outcome known", outcome_known),
    ("circuit", circuit_closed),
    ("cooldown", cooled_down),
    ("rate", within_rate),
    ("concurrency", not_crowded),
    ("replicas", enough_room),
    ("probe", comparable),
    ("blast radius", contained),
    ("window", in_window),
)


def check(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> Held | None:
    """The first guard that says no, in the table's order; None if all agree."""
    return next((h for _, guard in GUARDS if (h := guard(playbook, target, state, context)) is not None), None)


def check_all(playbook: Playbook, target: Target, state: TargetState | None, context: GuardContext) -> list[Held]:
    """Every guard that says no."""
    return [h for _, guard in GUARDS if (h := guard(playbook, target, state, context)) is not None]


def _same(playbook: Playbook, target: Target, context: GuardContext) -> list[RunEntry]:
    """Runs of this playbook on this target that acted."""
    runs = others(context.history, context)
    return [r for r in runs if r.playbook == playbook.name and on_same(r, target.service, context) and acted(r)]


def _last(run: RunEntry) -> tuple[int, str]:
    return last_ns(run), run.run


def _most(count: int) -> str:
    return f"at most {count} {'is' if count == 1 else 'are'} allowed"


def _ago(seconds: float) -> str:
    return f"{max(seconds, 0):.0f}s"
