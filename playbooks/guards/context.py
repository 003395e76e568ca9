"""What guards are asked with: the journal's history, switches, and what would come of it. All values; nothing is looked up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from contracts.actions import waits
from contracts.events import Control
from contracts.ports import RunEntry
from contracts.settings import ActSettings
from contracts.verdicts import HeldReason, RunState, StepPhase
from playbooks.guards.innocence import Standing

HISTORY_S = 604_800.0
"""History that guards need: the longest cooldown (a week)."""


@dataclass(frozen=True, slots=True)
class Held:
    """Why it may not run now; `text` is what an operator reads."""

    reason: HeldReason
    text: str


@dataclass(frozen=True, slots=True)
class CircuitLimits:
    """Failed or harmful runs in a row that open a circuit, and seconds until one attempt is let through again."""

    failures: int = 3
    reset_s: float = 3600.0


OTHERS_ALONE: Final = "*"
"""Stands for our name where only what others did is told, as deciding is: who it is decided for need not be known to decide again."""


@dataclass(frozen=True, slots=True)
class Ourselves:
    """The name of this installation ("": it has none, and knows of no other), and how long it leaves alone what another one acted on."""

    installation: str = ""
    pause_s: float = 300.0


NamedTargets = tuple[tuple[str, tuple[str, ...]], ...]
"""By setting (`act.commands`, `act.webhooks`), the names that it defines for steps to use."""


def ourselves(act: ActSettings) -> Ourselves:
    """As the settings say."""
    return Ourselves(act.installation, act.others_pause_s)


def named_targets(act: ActSettings) -> NamedTargets:
    """What the settings define to be called by name."""
    return ("act.commands", tuple(sorted(act.commands))), ("act.webhooks", tuple(sorted(act.webhooks)))


@dataclass(frozen=True, slots=True)
class GuardContext:
    """The world as guards see it.

    `history` and `open_runs` are of the environment; `run` is the run that asks ("" at decision time) and never counts
    against itself. `known_services` are those at work (`playbooks.guards.serving`). `identity` is the key of what would really be touched, "" where that isn't known; two services that lead to
    one thing are one target. `affected` are the services acted on at once, the target included (see `affected_by`). `planned` are
    the numbers of replicas that the steps lead to. `actions` is what the actuators can do, None where that isn't known.
    """

    now_ns: int
    history: Sequence[RunEntry] = ()
    open_runs: Sequence[RunEntry] = ()
    known_services: Sequence[str] = ()
    affected: Sequence[str] = ()
    planned: Sequence[int] = ()
    controls: Sequence[Control] = ()
    actions: frozenset[str] | None = None
    ourselves: Ourselves = Ourselves()
    max_concurrent: int = 1
    circuit: CircuitLimits = field(default_factory=CircuitLimits)
    run: str = ""
    identity: str = ""
    standing: Standing | None = None
    named: NamedTargets | None = None
    """What steps may call by name; None where that isn't known."""


_BEGUN = frozenset({RunState.RUNNING, RunState.VERIFYING, RunState.ROLLING_BACK})
_ACTED = _BEGUN | {
    RunState.SUCCEEDED,
    RunState.ROLLED_BACK,
    RunState.FAILED,
    RunState.INCONCLUSIVE,
    RunState.UNKNOWN,
}


def has_effects(run: RunEntry) -> bool:
    """Whether an effect was at least intended (an intent may have had its effect)."""
    return any(s.phase is not StepPhase.SKIPPED and not waits(str(s.data.get("action", ""))) for s in run.steps)


def acted(run: RunEntry) -> bool:
    """Whether the run counts as one that acted. Refused, cancelled before any effect, or waiting for a person: no."""
    return has_effects(run) or run.state in _ACTED


def acted_ns(run: RunEntry) -> int:
    """When the run's first effect was intended, epoch ns; its creation where that isn't known."""
    times = [
        s.time_ns for s in run.steps if s.phase is not StepPhase.SKIPPED and not waits(str(s.data.get("action", "")))
    ]
    return min(times, default=run.created_ns)


def last_ns(run: RunEntry) -> int:
    """When the run last changed, epoch ns."""
    return max(run.updated_ns, run.created_ns, *(s.time_ns for s in run.steps), 0)


def others(runs: Sequence[RunEntry], context: GuardContext) -> list[RunEntry]:
    """Runs other than the one that asks."""
    return [r for r in runs if r.run != context.run]


def active_others(context: GuardContext) -> list[RunEntry]:
    """Open runs that stand in the way of the one that asks.

    Those with effects always do. Of those without, the older goes first, so that two runs that start together neither
    both act nor both wait; a run that waits for a person stands in nobody's way.
    """
    own = next((r for r in context.open_runs if r.run == context.run), None)
    return [r for r in others(context.open_runs, context) if has_effects(r) or _goes_first(r, own)]


def _goes_first(run: RunEntry, own: RunEntry | None) -> bool:
    if run.state is RunState.AWAITING_APPROVAL:
        return False
    return own is None or (not has_effects(own) and _order(run) < _order(own))


def _order(run: RunEntry) -> tuple[int, str]:
    return run.created_ns, run.run


def on_same(run: RunEntry, target: str, context: GuardContext) -> bool:
    """Whether a run is about what the one that asks would touch, or calls it by the same name in the same environment."""
    return on_one(run, target, context.identity)


def on_one(run: RunEntry, target: str, identity: str) -> bool:
    """Whether a run is about a target, or about what its `identity` ("" where it is not known) says it is."""
    return run.target == target or bool(identity and identity in run.identities)


def affected_by(target: str, context: GuardContext) -> tuple[str, ...]:
    """The services acted on at once: the target, and those of the runs under way on anything else."""
    return tuple(sorted({target, *(r.target for r in active_others(context) if not on_same(r, target, context))}))
