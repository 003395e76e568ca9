"""An action of a plugin, asked with care: whatever its code raises ends its own step, and no decision or run of anybody else."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from contracts.actions.action import Action, Mistake, ReplicaBounds
from contracts.errors import ActionFailed
from contracts.targets import TargetState

_LOG = logging.getLogger(__name__)
FAULT = "action_fault"
T = TypeVar("T")


class PluggedAction(Action):
    """Asks an action. Where that fails, what would be computed from the answer can't be (ActionFailed), a guard is told the worst,
    and words are those of any action."""

    def __init__(self, own: Action) -> None:
        """`own`: the plugin's. What it declares is read once."""
        self._own = own
        self.name, self.text, self.touches = own.name, own.text, own.touches
        self.arguments, self.one_of, self.example = own.arguments, own.one_of, own.example
        self.undo, self.meets_demand, self.mends_part = own.undo, own.meets_demand, own.mends_part
        self.beside, self.at_caller, self.unoffered = own.beside, own.at_caller, own.unoffered
        self._policy_name, self._change = str(own.policy_name), str(own.change)

    @property
    def policy_name(self) -> str:
        """As its own."""
        return self._policy_name

    @property
    def change(self) -> str:
        """As its own."""
        return self._change

    def mistakes(self, given: Mapping[str, Any]) -> Iterator[Mistake]:
        """As its own, of arguments that are all there; a failure is a mistake of the step."""
        chosen = not self.one_of or any(key in given for key in self.one_of)
        if not chosen or any(a.required and a.key not in given for a in self.arguments):
            return
        try:
            found = list(self._own.mistakes(given))
            self._own.normalised(given)
        except Exception as e:  # noqa: BLE001 - a plugin's code: whatever it raises
            found = [Mistake(next(iter(given), ""), FAULT, self._told(e), "mend or uninstall its plugin")]
        yield from found

    def normalised(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """As its own. Raises ActionFailed."""
        return self._computed(lambda: dict(self._own.normalised(given)))

    def absolute(
        self, arguments: Mapping[str, Any], state: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """As its own. Raises ActionFailed."""
        return self._counted(lambda: self._own.absolute(arguments, state, bounds))

    def restored(
        self, given: Mapping[str, Any], state: TargetState | None, before: TargetState | None, bounds: ReplicaBounds
    ) -> dict[str, Any]:
        """As its own. Raises ActionFailed."""
        return self._counted(lambda: self._own.restored(given, state, before, bounds))

    def ensure_as_written(self, written: Mapping[str, Any], arguments: Mapping[str, Any]) -> None:
        """As its own. Raises ActionFailed."""
        self._computed(lambda: self._own.ensure_as_written(written, arguments))

    def pause_s(self, arguments: Mapping[str, Any]) -> float:
        """As its own. Raises ActionFailed."""
        return self._computed(lambda: float(self._own.pause_s(arguments)))

    def variant(self, arguments: Mapping[str, Any]) -> str:
        """As its own, or its name."""
        return self._answer(lambda: str(self._own.variant(arguments)), lambda _: self.name)

    def replicas(self, arguments: Mapping[str, Any]) -> int | None:
        """As its own; arguments of which it can't tell never become absolute."""

        def asked() -> int | None:
            found = self._own.replicas(arguments)
            return None if found is None else int(found)

        return self._answer(asked, lambda _: None)

    def taken(self, arguments: Mapping[str, Any], state: TargetState) -> int:
        """As its own, or all that serve."""
        return self._answer(lambda: int(self._own.taken(arguments, state)), lambda _: state.ready)

    def outage(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """As its own, or that it can't tell."""
        return self._answer(lambda: str(self._own.outage(arguments, state)), lambda told: told)

    def also_affects(self, arguments: Mapping[str, Any], state: TargetState) -> tuple[str, ...]:
        """As its own; what it can't tell of, `unable` holds back."""
        return self._answer(lambda: tuple(map(str, self._own.also_affects(arguments, state))), lambda _: ())

    def refusal(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """As its own, or that it can't tell."""
        return self._answer(lambda: str(self._own.refusal(arguments, state)), lambda told: told)

    def unable(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """As its own; and what it can't tell a guard."""

        def asked() -> str:
            for question in (self._own.taken, self._own.outage, self._own.also_affects, self._own.refusal):
                question(arguments, state)
            return str(self._own.unable(arguments, state))

        return self._answer(asked, _no_way)

    def pointless(self, arguments: Mapping[str, Any], state: TargetState) -> str:
        """As its own, or that it can't tell."""
        return self._answer(lambda: str(self._own.pointless(arguments, state)), _no_way)

    def words(self, target: str, arguments: Mapping[str, Any]) -> str:
        """As its own, or as any action's."""
        return self._answer(
            lambda: str(self._own.words(target, arguments)), lambda _: Action.words(self, target, arguments)
        )

    def levels(self, arguments: Mapping[str, Any], before: TargetState | None) -> tuple[str, str]:
        """As its own, or none."""

        def asked() -> tuple[str, str]:
            was, becomes = self._own.levels(arguments, before)
            return str(was), str(becomes)

        return self._answer(asked, lambda _: ("", ""))

    def subject(self, arguments: Mapping[str, Any]) -> str:
        """As its own, or none."""
        return self._answer(lambda: str(self._own.subject(arguments)), lambda _: "")

    def simulated(self, arguments: Mapping[str, Any], state: TargetState) -> TargetState:
        """As its own, or as it was."""
        return self._answer(lambda: self._own.simulated(arguments, state), lambda _: state)

    def _counted(self, ask: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """Absolute arguments, of which the number of replicas can be told."""

        def asked() -> dict[str, Any]:
            found = dict(ask())
            self._own.replicas(found)
            return found

        return self._computed(asked)

    def _computed(self, ask: Callable[[], T]) -> T:
        try:
            return ask()
        except ActionFailed:
            raise
        except Exception as e:
            raise ActionFailed(self._told(e), reason=FAULT) from e

    def _answer(self, ask: Callable[[], T], otherwise: Callable[[str], T]) -> T:
        try:
            return ask()
        except Exception as e:  # noqa: BLE001 - a plugin's code: whatever it raises
            return otherwise(self._told(e))

    def _told(self, error: Exception) -> str:
        _LOG.debug("action %s", self.name, exc_info=error)
        return f"action {self.name} of a plugin fails: {type(error).__name__}: {error}"


def _no_way(told: str) -> str:
    """What a target has not, for a guard."""
    return f"no way to be acted on: {told}"
