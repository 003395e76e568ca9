"""The playbook's guards, asked with what the journal, the switches and telemetry say at this moment."""

from __future__ import annotations

from collections.abc import Sequence

from contracts.ports import TargetState
from playbooks.guards import HISTORY_S, CircuitLimits, GuardContext, check
from playbooks.runs.commands import Refuse
from playbooks.runs.facts import controls_of
from playbooks.runs.machine import NS
from playbooks.runs.plan import RunPlan
from playbooks.runs.watching import Watch
from playbooks.runs.wiring import ExecutorWiring


def guarded(
    plan: RunPlan, state: TargetState | None, planned: Sequence[int], watch: Watch, wiring: ExecutorWiring
) -> Refuse | None:
    """The first guard that says no. `planned`: the numbers of replicas that the effects in question lead to."""
    held = check(plan.playbook, plan.aim, state, _context(plan, planned, watch, wiring))
    return None if held is None else Refuse(held.reason, held.text)


def _context(plan: RunPlan, planned: Sequence[int], watch: Watch, wiring: ExecutorWiring) -> GuardContext:
    now_ns, journal = wiring.clock.now_ns(), wiring.journal
    return GuardContext(
        now_ns=now_ns,
        history=journal.history(plan.environment, since_ns=now_ns - int(HISTORY_S * NS)),
        open_runs=journal.open_runs(plan.environment),
        known_services=sorted(watch.services()),
        planned=planned,
        controls=controls_of(journal, plan.environment),
        actions=frozenset(a for actuator in wiring.actuators for a in actuator.actions),
        max_concurrent=wiring.settings.max_concurrent,
        circuit=CircuitLimits(wiring.settings.circuit_failures, wiring.settings.circuit_reset_s),
        run=plan.run,
    )
