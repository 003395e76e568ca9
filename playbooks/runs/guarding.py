"""The playbook's guards, asked with what the journal, the switches and telemetry say at this moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from contracts.units import SECOND
from contracts.verdicts import TERMINAL_RUN_STATES
from playbooks.guards import HISTORY_S, CircuitLimits, GuardContext, Held, alone, check, named_targets, ourselves
from playbooks.runs.effects import Aim
from playbooks.runs.identities import elsewhere, identified
from playbooks.runs.plan import RunPlan
from playbooks.runs.ports import ExecutorWiring
from playbooks.runs.switches import controls_of
from playbooks.runs.telemetry_view import TelemetryView


def guarded(
    plan: RunPlan,
    aim: Aim,
    planned: Sequence[int],
    watch: TelemetryView,
    wiring: ExecutorWiring,
    *,
    untouched: bool,
) -> Held | None:
    """The first guard that says no. `planned`: the numbers of replicas that the effects in question lead to; `untouched`: the run
    has had no effect yet, so how the target answers is its own doing."""
    context = _context(plan, aim.identity.key, planned, watch, wiring)
    if untouched:
        standing = watch.standing(plan.target, plan.onset_ns)
        context = replace(context, standing=replace(standing, partly=False))  # waited for before it was decided
    return check(plan.playbook, plan.aim, aim.state, context)


def between(plan: RunPlan, aim: Aim, wiring: ExecutorWiring) -> Held | None:
    """The one guard that going back is asked, too: what another installation has done meanwhile is not undone."""
    context = GuardContext(now_ns=wiring.clock.now_ns(), ourselves=ourselves(wiring.settings))
    return alone(plan.playbook, plan.aim, aim.state, context)


def _context(
    plan: RunPlan, identity: str, planned: Sequence[int], watch: TelemetryView, wiring: ExecutorWiring
) -> GuardContext:
    now_ns, journal = wiring.clock.now_ns(), wiring.journal
    since_ns = now_ns - int(HISTORY_S * SECOND)
    shared = elsewhere(journal, plan, identity, since_ns)
    return GuardContext(
        now_ns=now_ns,
        history=[*identified(journal, journal.history(plan.environment, since_ns=since_ns)), *shared],
        open_runs=[
            *identified(journal, journal.open_runs(plan.environment)),
            *(run for run in shared if run.state not in TERMINAL_RUN_STATES),
        ],
        identity=identity,
        known_services=sorted(watch.established()),
        planned=planned,
        controls=controls_of(journal, plan.environment),
        actions=frozenset(
            action
            for actuator in wiring.actuators
            if wiring.settings.binding(plan.environment, actuator.name) is not None
            for action in actuator.actions
        ),
        max_concurrent=wiring.settings.max_concurrent,
        circuit=CircuitLimits(wiring.settings.circuit_failures, wiring.settings.circuit_reset_s),
        run=plan.run,
        named=named_targets(wiring.settings),
        ourselves=ourselves(wiring.settings),
    )
