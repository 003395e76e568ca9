"""What may be done with a workload as it is: who else decides on it, and whether anything would come of it. Pure.

The same answers are given when the state is asked for, so that nothing is proposed that would be refused, and again right before
an effect.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.actuators.kubernetes import disruption, owners, ownership, workload
from connectors.actuators.kubernetes.workload import ROLLOUTS, Json, WorkloadPath
from contracts.actions.drain import ASIDE, BACK
from contracts.errors import ActionFailed, HomeostatError

NOTHING: Final = "nothing_to_do"
NOT_ROLLED_OUT: Final = "not_rolled_out"
CANARY: Final = "Canary"
SCALING: Final = "scale"
ROLLING_RESTART: Final = "restart/rolling"
EVICTION: Final = "restart/instance"
ROLL_BACK: Final = "rollback"
"""Effects, by `Action.variant`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What the settings let us do: field managers to take over from, and kinds of owners that don't mind."""

    take_over: frozenset[str] = frozenset()
    owners: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class WorkloadState:
    """A workload and what stands around it.

    `scalers` are the autoscalers that are about it. `primary` is the Deployment that Flagger runs in its stead, if it does.
    `budgets` are those that are about its pods; an error where they can't be read, None where they don't matter.
    """

    place: WorkloadPath
    body: Json
    scalers: Sequence[Json] = ()
    primary: Json | None = None
    budgets: Sequence[Json] | HomeostatError | None = None

    @property
    def name(self) -> str:
        """Its name, for a message."""
        return self.place.name


def ensure(effect: str, facts: WorkloadState, rules: Rules) -> None:
    """May the effect (`Action.variant`) be had?

    Raises:
        ActionFailed: no: who decides instead of us, or why nothing would come of it, and what to do.
        Forbidden, ActuatorUnavailable: what must be known for it can't be read.
    """
    _CHECKS[effect](facts, rules)


def refusals(facts: WorkloadState, rules: Rules) -> dict[str, str]:
    """Why effects would not be had, by name; those that are left out would."""
    found = {}
    for effect in _CHECKS:
        try:
            ensure(effect, facts, rules)
        except HomeostatError as e:
            found[effect] = str(e)
    return found


def _whole(facts: WorkloadState, rules: Rules, verb: str) -> None:
    """Whatever is done: it is nobody else's, and there is something to do it to."""
    owners.ensure_not_owned(facts.body, verb, rules.owners)
    if facts.primary is not None and not {f"{CANARY}.flagger.app", CANARY} & rules.owners:
        canary = next(o for o in owners.owners_of(facts.primary) if o.kind == CANARY)
        raise ActionFailed(
            f"can't {verb} {facts.body['kind']} {facts.name}: it is what {canary} tries and copies; what serves is "
            f"{facts.primary['metadata']['name']}",
            reason=owners.OWNED,
            fix="release through Flagger, or pause it",
        )
    if workload.leaving(facts.body):
        raise ActionFailed(f"{facts.name} has nothing to {verb}: it is being deleted", reason=NOTHING)
    if workload.wanted(facts.body) == 0:
        what = "of its nodes none is to run it" if facts.place.kind == "daemonsets" else "it is scaled to 0"
        raise ActionFailed(
            f"{facts.name} has nothing to {verb}: {what}",
            reason=NOTHING,
            fix="whoever stopped it knows why; start it by hand",
        )


def _rolls_out(facts: WorkloadState, verb: str) -> None:
    """Would a new template be rolled out at all?"""
    spec, status, name = facts.body["spec"], facts.body.get("status", {}), facts.name
    if spec.get("paused") or status.get("pauseConditions") or status.get("abort"):
        how = "kubectl argo rollouts promote or abort" if facts.place.kind == ROLLOUTS else "kubectl rollout resume"
        raise ActionFailed(
            f"{name} is paused: nothing would be rolled out", reason=NOT_ROLLED_OUT, fix=f"{how}, or a person looks"
        )
    if spec.get("updateStrategy", {}).get("type") == "OnDelete":
        raise ActionFailed(
            f"{name} has updateStrategy OnDelete: nothing would be rolled out",
            reason=NOT_ROLLED_OUT,
            fix="restart single pods",
        )
    held = int((spec.get("updateStrategy", {}).get("rollingUpdate") or {}).get("partition") or 0)
    if held > 0:
        raise ActionFailed(
            f"{name} has a partition of {held}: somebody holds its release back from pods below that number, and {verb} would not "
            "reach them",
            reason=NOT_ROLLED_OUT,
            fix="restart single pods, or set the partition to 0",
        )
    taken, ready = disruption.taken_at_once(facts.body), workload.serving(facts.body)
    if facts.budgets is None or not taken >= ready > 0:
        return
    if isinstance(facts.budgets, HomeostatError):
        raise facts.budgets
    against = disruption.forbids(facts.budgets, taken)
    if against:
        raise ActionFailed(
            f"to {verb} {name} {disruption.words(taken, ready)}, and {against}",
            reason="disruption_budget",
            fix="give it a strategy that keeps pods serving, or let a person do it",
        )


def _scale(facts: WorkloadState, rules: Rules) -> None:
    name = facts.name
    if facts.place.kind == "daemonsets":
        raise ActionFailed(f"{name} is a DaemonSet: it has one pod per node and is not scaled")
    _whole(facts, rules, "scale")
    if len(facts.scalers) > 1:
        both = " and ".join(sorted(str(s["metadata"]["name"]) for s in facts.scalers))
        raise ActionFailed(
            f"{name} has several autoscalers, {both}, which work against each other",
            reason=owners.OWNED,
            fix="leave one of them",
        )
    if not facts.scalers:
        ownership.ensure_free(facts.body, ownership.REPLICAS, rules.take_over)
        owners.ensure_not_declared(facts.body, ownership.REPLICAS, rules.take_over)
        return
    (scaler,) = facts.scalers
    keda = owners.keda_of(scaler)
    if not owners.owners_of(scaler) and keda is not None and not {keda.of_kind, keda.kind} & rules.owners:
        raise owners.refusal(f"HorizontalPodAutoscaler {scaler['metadata']['name']}", keda, "change")
    owners.ensure_not_owned(scaler, "change", rules.owners)
    ownership.ensure_free(scaler, ownership.MINIMUM, rules.take_over)
    owners.ensure_not_declared(scaler, ownership.MINIMUM, rules.take_over)


def _restart(facts: WorkloadState, rules: Rules) -> None:
    _whole(facts, rules, "restart")
    owners.ensure_keeps_annotations(facts.body, rules.take_over)
    _rolls_out(facts, "restart")


def _restart_instance(facts: WorkloadState, rules: Rules) -> None:
    _whole(facts, rules, "restart")


def _move(facts: WorkloadState, rules: Rules) -> None:
    _whole(facts, rules, "move")
    if facts.place.kind == "daemonsets":
        raise ActionFailed(
            f"{facts.name} is a DaemonSet: it has one pod on each node and can't be moved off one", reason=NOTHING
        )


def _give_back(facts: WorkloadState, rules: Rules) -> None:
    """A node that takes pods again does nothing to the workload."""


def _rollback(facts: WorkloadState, rules: Rules) -> None:
    _whole(facts, rules, "roll back")
    if facts.place.kind == ROLLOUTS:
        raise ActionFailed(
            f"going back is Rollout {facts.name}'s own",
            reason=owners.OWNED,
            fix=f"kubectl argo rollouts undo {facts.name}",
        )
    _rolls_out(facts, "roll back")
    ownership.ensure_free(facts.body, ownership.TEMPLATE, rules.take_over)
    owners.ensure_not_declared(facts.body, ownership.TEMPLATE, rules.take_over)


_CHECKS: Final[Mapping[str, Callable[[WorkloadState, Rules], None]]] = {
    SCALING: _scale,
    ROLLING_RESTART: _restart,
    EVICTION: _restart_instance,
    ASIDE: _move,
    BACK: _give_back,
    ROLL_BACK: _rollback,
}
ACTIONS: Final = frozenset(effect.partition("/")[0] for effect in _CHECKS)
"""The actions that have these effects."""


def matter(body: Json) -> bool:
    """Whether disruption budgets have a say in a roll-out: only where it takes away all that serve, which they rule out."""
    return disruption.taken_at_once(body) >= workload.serving(body) > 0


def rules_of(take_over: Collection[str], kinds: Collection[str]) -> Rules:
    """From the settings."""
    return Rules(frozenset(take_over), frozenset(kinds))
