"""What a run really touches, as remembered with it: guards count by it, and it must not change under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from contracts.ports import Identity, Journal, RunEntry
from contracts.verdicts import HeldReason
from playbooks.guards import Held
from playbooks.runs.plan import RunPlan

_FACT = "identity/"


def identity_data(identity: Identity | None) -> dict[str, Any] | None:
    """An identity as journal data."""
    return None if identity is None else msgspec.to_builtins(identity)


def identity_from(data: object) -> Identity | None:
    """An identity from journal data; None where there is none."""
    return None if data is None else msgspec.convert(data, Identity)


def identities_of(journal: Journal, run: str) -> dict[str, Identity]:
    """What each step of a run was found to touch, before anybody was asked about it; empty where nobody has looked yet."""
    fact = journal.get(_FACT + run) or {"steps": {}}
    return {step: msgspec.convert(data, Identity) for step, data in fact["steps"].items()}


def pin(journal: Journal, plan: RunPlan, step: str, identity: Identity) -> Held | None:
    """Remember what a step touches; refused if that is not what was found before, by which guards, policy and people agreed.

    A step that undoes touches only what a step before it did.
    """
    known = identities_of(journal, plan.run)
    before = known.get(step)
    if before is None and (not known or step in {s.name for s in plan.playbook.steps}):
        pinned = known | {step: identity}
        fact = {
            "steps": {name: identity_data(one) for name, one in pinned.items()},
            "keys": sorted({one.key for one in pinned.values()}),
        }
        journal.put(_FACT + plan.run, fact, plan.environment)
        return None
    if identity == before or (before is None and identity in known.values()):
        return None
    was = before or next(iter(known.values()))
    uids = "" if was.uid == identity.uid else f" (uid {was.uid}, now {identity.uid})"
    return Held(HeldReason.TARGET_CHANGED, f"{plan.target} was {was.words}, and is {identity.words}{uids}")


def identified(journal: Journal, runs: Sequence[RunEntry]) -> list[RunEntry]:
    """Runs with the keys of what they act on."""
    return [replace(run, identities=_keys(journal.get(_FACT + run.run))) for run in runs]


def elsewhere(journal: Journal, plan: RunPlan, key: str, since_ns: int) -> list[RunEntry]:
    """Runs of other environments on the same thing, as far as this process knows. The settings keep environments apart; where
    two lead to one thing all the same, what one did to it counts for the other."""
    same = [name for name, fact in journal.facts_of_runs(_FACT, since_ns).items() if key in _keys(fact)]
    runs = [run for name in same if (run := journal.load(name)) is not None]
    return [replace(run, identities=(key,)) for run in runs if run.environment != plan.environment]


def _keys(fact: Mapping[str, Any] | None) -> tuple[str, ...]:
    return () if fact is None else tuple(fact["keys"])
