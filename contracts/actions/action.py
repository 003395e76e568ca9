"""One action: its arguments, what it touches, how it is undone, what guards, policy and people are told of it. All of it pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from contracts.actions.arguments import Argument
from contracts.errors import ActionFailed
from contracts.targets import TargetState


class Touches(enum.StrEnum):
    """What an action has its effect on, which says what must be known before it may be had."""

    NOTHING = "nothing"  # it lets time pass: no actuator is asked
    SOMEBODY = "somebody"  # somebody is told of the target: its state need not be known, nor stay what it was
    ANYTHING = "anything"  # who knows, as with a program: of what the target is there must be no doubt
    TARGET = "target"  # the target itself: its state must be known, and it must have a reason to be touched


@dataclass(frozen=True, slots=True)
class ReplicaBounds:
    """Fewest and most replicas that a playbook's guards allow."""

    least: int
    most: int


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with an argument as written: its key, a rule's name, words, and what to write instead."""

    key: str
    rule: str
    message: str
    suggestion: str = ""


class Action:
    """Base of every action; an object without state, whose methods are functions of their arguments.

    A subclass sets `name`, `text`, `arguments` and what else differs, and overrides the questions to which it has another answer.
    `arguments` that a method gets are those of a step: as `normalised` made them, in methods that are asked before an effect also with
    every `${{ … }}` evaluated and made `absolute`. States are those of the target as the actuator describes it.
    """

    name: str = ""
    text: str = ""
    """What it does, in a sentence."""
    touches: Touches = Touches.TARGET
    arguments: tuple[Argument, ...] = ()
    one_of: tuple[str, ...] = ()
    """Exactly one of these arguments must be given."""
    example: str = "{}"
    """Arguments, as YAML."""
    undo: str = ""
    """An example of the rollback step that a playbook must write (or say that it needs none); "" where there is nothing to undo."""
    meets_demand: bool = False
    """Whether more demand than usual is a reason for it, even where the target answers as before."""
    one_of_several: bool = False
    """Whether others have to be acted on as well before all is well: its target is looked at alone, and that this is worse meanwhile, or no
    better, says nothing."""
    mends_part: bool = False
    """Whether it may mend one operation of a target whose others are well: another version does, a restart does not."""
    beside: bool = False
    """Whether whoever does it may be another system than the one that runs the target, which alone knows its state: a flag service, a mesh."""
    at_caller: bool = False
    """Whether, of a cause between two services, the target is the one that calls."""
    unoffered: str = ""
    """What to say, beyond that no actuator can, where none offers it: how it would be set up."""
    installed: bool = True

    @property
    def policy_name(self) -> str:
        """What policy is asked about, `action.kind` of its input."""
        return self.name

    @property
    def change(self) -> str:
        """The kind of change event that tells of it; "" where it changes nothing of the target."""
        return self.name if self.touches is Touches.TARGET else ""

    # --- when a playbook is read

    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments in the one form that everything else knows, from those that a playbook wrote. Durations are seconds."""
        return dict(given)

    def mistakes(self, given: Mapping[str, Any]) -> Iterator[Mistake]:
        """What is wrong with arguments that are each as `arguments` wants them."""
        del given
        yield from ()

    # --- what it comes to on a target

    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """Arguments that mean the same however often they are applied: three replicas, not one more.

        Raises:
            ActionFailed: they can't be computed on this target.
        """
        del state, bounds
        return dict(arguments)

    def restored(
        self, given: Mapping[str, Any], state: TargetState | None, before: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """Absolute arguments of a rollback step. What is `before`, or left out, comes from the state journalled `before`.

        Raises:
            ActionFailed: the state from before is needed and was not journalled.
        """
        del before
        return self.absolute(given, state, bounds)

    def ensure_as_written(self, written: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """Compare evaluated arguments with what the playbook's author wrote, for what no value may turn them into.

        Raises:
            ActionFailed: an argument is not as its author can have meant it.
        """

    def pause_s(self, arguments: Mapping[str, Any]) -> float:
        """Seconds that are waited, for an action that touches nothing."""
        del arguments
        return 0.0

    # --- what guards ask

    def variant(self, arguments: Mapping[str, Any]) -> str:
        """Its name, or a name per way of doing it (`restart/rolling`), where whoever owns a target may refuse one and not another."""
        del arguments
        return self.name

    def replicas(self, arguments: Mapping[str, Any]) -> int | None:
        """The number of replicas that absolute arguments lead to; None where the number is left as it is."""
        del arguments
        return None

    def taken(self, arguments: Mapping[str, Any], state: TargetState) -> int:
        """Ready instances that it takes away at once, as far as is known."""
        del arguments, state
        return 0

    def outage(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """In words that it takes away all that serve; "" where some stay, or none serves now. A person must agree to one."""
        taken = self.taken(arguments, state)
        if not 0 < state.ready <= taken:
            return ""
        which = "the only instance that serves" if state.ready == 1 else f"all {state.ready} instances that serve"
        return f"{self.name} takes away {which} at once: an outage of all of it until others are ready"

    def also_affects(self, arguments: Mapping[str, Any], state: TargetState) -> tuple[str, ...]:
        """Services besides the target that it acts on: they count in the guard on blast radius."""
        del arguments, state
        return ()

    def refusal(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """Why whoever owns the target would not have it; "" where nothing is known against it."""
        return state.refusals.get(self.name) or state.refusals.get(self.variant(arguments), "")

    def unable(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """What the target has not that it needs (`no earlier version to go back to`), whatever the tier; "" if nothing."""
        del arguments, state
        return ""

    # --- preflight

    def pointless(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """What absolute arguments find nothing of on the target (`no other version to go to`), which tiers 2 and 3 ask; "" if nothing."""
        del arguments, state
        return ""

    # --- words

    def words(self, target: str, arguments: Mapping[str, Any]) -> str:
        """What is done, for the audit: `scale cart (replicas=3)`."""
        details = ", ".join(f"{key}={value}" for key, value in arguments.items())
        return f"{self.name} {target}" + (f" ({details})" if details else "")

    def levels(self, arguments: Mapping[str, Any], before: TargetState | None) -> tuple[str, str]:
        """What its change event has for before and after; "" each where it has no level."""
        del arguments, before
        return "", ""

    def subject(self, arguments: Mapping[str, Any]) -> str:
        """What exactly its change event is about (`Change.subject`), where a target has several of it."""
        del arguments
        return ""

    # --- what a dry run, or a what-if, takes it to do

    def simulated(self, arguments: Mapping[str, Any], state: TargetState) -> TargetState:
        """The target's state afterwards; its generation is counted by whoever asks."""
        del arguments
        return state


def not_offered(actions: Iterable[Action]) -> str:
    """In words that no actuator can do these actions."""
    actions = sorted(actions, key=lambda a: a.name)
    plain = ", ".join(a.name for a in actions if not a.unoffered)
    return "; ".join([*([f"no actuator can {plain}"] if plain else []), *(a.unoffered for a in actions if a.unoffered)])


class UninstalledAction(Action):
    """An action that nothing installed here defines: an earlier run's, say, whose plugin is gone. It may have touched anything, and
    nothing more of it is done."""

    touches = Touches.ANYTHING
    installed = False

    def __init__(self, name: str, there_are: str) -> None:
        self.name = name
        self.text = f"action {name!r} is not installed here (there are: {there_are}): a person must look"

    @property
    def change(self) -> str:
        """Its name: what it did is told all the same."""
        return self.name

    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """Raises ActionFailed, always."""
        raise ActionFailed(self.text, reason="not_installed")


def resized(state: TargetState, replicas: int) -> TargetState:
    """A target with another number of replicas, all of them ready."""
    return replace(state, replicas=replicas, ready=replicas)
