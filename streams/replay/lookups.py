"""What deciding looks up, recorded as it is asked, and answered from the record."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from contracts.ports import RunEntry, TargetState
from playbooks.decision import DecisionFacts
from streams.replay.player import Answers
from streams.replay.recorder import Recorder


class RecordedFacts:
    """Facts that remember what they said."""

    def __init__(self, facts: DecisionFacts, recorder: Recorder) -> None:
        self._facts, self._recorder = facts, recorder

    def target_state(self, environment: str, service: str) -> TargetState | None:
        """As the facts say."""
        found = self._facts.target_state(environment, service)
        self._recorder.told("target_state", (environment, service), found, _plain)
        return found

    def history(self, environment: str) -> Sequence[RunEntry]:
        """As the facts say, without definitions: deciding does not look at them."""
        found = tuple(replace(r, definition={}) for r in self._facts.history(environment))
        self._recorder.told("history", (environment,), found, _changed_runs)
        return found

    def known_services(self, environment: str) -> Sequence[str]:
        """As the facts say."""
        found = tuple(self._facts.known_services(environment))
        self._recorder.told("known_services", (environment,), found, _plain)
        return found

    def actions(self, environment: str) -> frozenset[str] | None:
        """As the facts say."""
        found = self._facts.actions(environment)
        self._recorder.told("actions", (environment,), found, lambda _, now: None if now is None else sorted(now))
        return found


class RecalledFacts:
    """Facts as they were recorded."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def target_state(self, environment: str, service: str) -> TargetState | None:
        """As it was said then."""
        return msgspec.convert(self._ask("target_state", environment, service), TargetState | None)

    def history(self, environment: str) -> Sequence[RunEntry]:
        """As it was said then."""
        known: dict[str, RunEntry] = self._answers.ask("history", (environment,), _merged_runs)
        return list(known.values())

    def known_services(self, environment: str) -> Sequence[str]:
        """As it was said then."""
        return msgspec.convert(self._ask("known_services", environment), tuple[str, ...])

    def actions(self, environment: str) -> frozenset[str] | None:
        """As it was said then."""
        return msgspec.convert(self._ask("actions", environment), frozenset[str] | None)

    def _ask(self, question: str, *about: str) -> Any:
        return self._answers.ask(question, about, lambda _, now: now)


def _plain(_: Any, now: Any) -> Any:
    return msgspec.to_builtins(now)


def _changed_runs(before: tuple[RunEntry, ...] | None, now: tuple[RunEntry, ...]) -> dict[str, Any]:
    """Runs that are new or changed, and the order of all where that is not what it was."""
    known = {r.run: r for r in before or ()}
    order = [r.run for r in now]
    return {
        "runs": [msgspec.to_builtins(r) for r in now if known.get(r.run) != r],
        "order": order if order != list(known) else None,
    }


def _merged_runs(before: dict[str, RunEntry] | None, delta: dict[str, Any]) -> dict[str, RunEntry]:
    known = (before or {}) | {r.run: r for r in msgspec.convert(delta["runs"], list[RunEntry])}
    return known if delta["order"] is None else {run: known[run] for run in delta["order"]}
