"""Is the audit trail of runs complete, and told exactly once? What every trail must satisfy, however often processes died."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

from contracts.verdicts import TERMINAL_RUN_STATES

_FOLLOWS: Final[Mapping[str, frozenset[str]]] = {
    "": frozenset({"pending"}),
    "pending": frozenset({"awaiting_approval", "running", "refused", "cancelled"}),
    "awaiting_approval": frozenset({"running", "refused", "cancelled"}),
    "running": frozenset(
        {"verifying", "rolling_back", "succeeded", "failed", "refused", "cancelled", "inconclusive", "unknown"}
    ),
    "verifying": frozenset({"succeeded", "failed", "inconclusive", "rolling_back"}),
    "rolling_back": frozenset({"rolled_back", "failed", "cancelled", "unknown"}),
}
"""Which state of a run may be told after which."""


def flaws(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """What is wrong with the trail of one environment, given as the JSON of its records in order; empty if nothing is."""
    runs: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in {r["sequence"]: r for r in records}.values():
        runs[record["run"]].append(record)
    return [f"{run}: {flaw}" for run, told in runs.items() for flaw in (*_states(told), *_steps(told))]


def _states(told: list[Mapping[str, Any]]) -> list[str]:
    states = [r["type"].removeprefix("io.homeostat.run.") for r in told if r["type"].startswith("io.homeostat.run.")]
    found = [
        f"{after} was told after {before or 'nothing'}"
        for before, after in zip(["", *states], states, strict=False)
        if after not in _FOLLOWS.get(before, ())
    ]
    if states and states[-1] not in TERMINAL_RUN_STATES:
        found.append(f"its end was not told, the last is {states[-1]}")
    if told and not told[-1]["type"].startswith("io.homeostat.run."):
        found.append("something was told after its end")
    return found


def _steps(told: list[Mapping[str, Any]]) -> list[str]:
    phases: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for record in told:
        if record["type"].startswith("io.homeostat.step."):
            phases[record["step"], record["data"]["key"]].append(record["type"].removeprefix("io.homeostat.step."))
    found = []
    for (step, _), seen in phases.items():
        if seen != ["skipped"] and (len(seen) != 2 or seen[0] != "intent" or seen[1] == "intent"):
            found.append(f"step {step} was told as {dict(Counter(seen))}")
    return found
